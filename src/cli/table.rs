//! Tables for people: columns as wide as their widest cell.

/// Lays out rows under headers; ends with a line end. Control characters (a terminal would obey
/// them) become `?`.
pub(super) fn table<const N: usize>(
    headers: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let clean = |cell: &str| {
        cell.chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect::<String>()
    };
    let mut lines = vec![headers.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(|cell| clean(&cell))));
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|l| l.get(column))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.chars().count()) + 2,
            ));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Names and values below each other; empty values are left out.
pub(super) fn facts(pairs: &[(&str, String)]) -> String {
    let shown: Vec<_> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = shown
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let clean = |value: &str| {
        value
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect::<String>()
    };
    shown
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {}\n", clean(value)))
        .collect()
}
