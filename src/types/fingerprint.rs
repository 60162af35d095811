//! Fingerprints of texts: 64-bit `SimHash` values (Charikar, STOC 2002), their names and their
//! likeness.

/// Bits in which two fingerprints of one template differ at most.
pub(crate) const NEAR_BITS: u32 = 12;

/// A fingerprint as it stands in the proof of a block, and in an allowance.
pub(crate) fn template_name(fingerprint: u64) -> String {
    format!("template:0x{fingerprint:016x}")
}

/// Reads such a name, with or without the word before it.
pub(crate) fn read_template(name: &str) -> Option<u64> {
    let digits = name
        .strip_prefix("template:")
        .unwrap_or(name)
        .strip_prefix("0x")?;
    let all = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !all {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Whether these are fingerprints of one template. That of a text too short to tell, 0, is near to
/// none.
pub(crate) const fn is_near(a: u64, b: u64) -> bool {
    a != 0 && b != 0 && (a ^ b).count_ones() <= NEAR_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn names_are_read_as_they_are_shown() {
        assert_eq!(
            (
                template_name(255),
                read_template("template:0x00000000000000ff")
            ),
            ("template:0x00000000000000ff".into(), Some(255))
        );
        assert_eq!(read_template("0x00000000000000ff"), Some(255));
        for wrong in [
            "",
            "0xff",
            "00000000000000ff",
            "template:",
            "0x+0000000000000ff",
            "0x00000000000000fg",
        ] {
            assert_eq!(read_template(wrong), None, "{wrong}");
        }
        assert!(
            is_near(TEXT, TEXT ^ 0xfff)
                && !is_near(TEXT, TEXT ^ 0x1fff)
                && !is_near(0, 1)
                && !is_near(1, 0)
        );
    }
}
