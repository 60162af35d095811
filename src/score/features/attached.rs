//! What a message carries besides its text.

use crate::mail::mime::{LeafKind, MimeTree};
use memchr::memmem;

/// What kinds of files are attached, by their types and names.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    pub any: bool,
    pub html: bool,
    pub executable: bool,
    pub double_extension: bool,
    pub archive: bool,
    pub disk_image: bool,
    pub macros: bool,
    pub document: bool,
    pub work_file: bool,
    pub calendar_link: bool,
    pub encrypted: bool,
}

impl Attachments {
    pub(super) fn read(tree: &MimeTree<'_>) -> Self {
        const PROGRAMS: [&str; 19] = [
            "exe", "scr", "pif", "com", "bat", "cmd", "js", "jse", "vbs", "vbe", "wsf", "hta",
            "lnk", "ps1", "jar", "msi", "cpl", "chm", "xll",
        ];
        const ARCHIVES: [&str; 10] = [
            "zip", "rar", "7z", "gz", "tgz", "ace", "arj", "cab", "lzh", "xz",
        ];
        const DISKS: [&str; 5] = ["iso", "img", "vhd", "vhdx", "udf"];
        const MACROS: [&str; 8] = ["docm", "xlsm", "pptm", "xlsb", "dotm", "xlam", "one", "rtf"];
        const WORK: [&str; 14] = [
            "patch", "diff", "log", "csv", "ics", "vcf", "c", "h", "py", "conf", "sig", "asc",
            "txt", "json",
        ];
        const DOCUMENTS: [&str; 13] = [
            "pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "png", "txt", "htm", "html", "zip",
            "ppt",
        ];
        let mut seen = Self::default();
        for part in tree.parts.iter().filter(|p| p.ctype == "text/calendar") {
            seen.work_file = true;
            let entry = part.encoding.decode(
                part.body
                    .get(..part.body.len().min(16 * 1024))
                    .unwrap_or_default(),
            );
            seen.calendar_link |= memmem::find(&entry, b"http").is_some();
        }
        for part in tree
            .parts
            .iter()
            .filter(|p| p.attachment || !p.file_name.is_empty())
        {
            let name = part.file_name.trim().to_lowercase();
            let mut pieces = name.rsplit('.');
            let extension = pieces
                .next()
                .filter(|e| e.len() < name.len())
                .unwrap_or_default();
            let before = pieces.next().unwrap_or_default().trim();
            let program = PROGRAMS.contains(&extension);
            let archive = ARCHIVES.contains(&extension);
            seen.any |= part.kind != LeafKind::Image;
            seen.html |= part.kind == LeafKind::Html
                || matches!(
                    extension,
                    "htm" | "html" | "shtml" | "xhtml" | "svg" | "mht"
                );
            seen.executable |= program || part.ctype == "application/x-msdownload";
            seen.double_extension |= DOCUMENTS.contains(&before)
                && (program || archive || matches!(extension, "htm" | "html"))
                && before != "zip";
            seen.archive |= archive;
            seen.disk_image |= DISKS.contains(&extension);
            seen.macros |= MACROS.contains(&extension);
            seen.document |= [
                "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods",
            ]
            .contains(&extension);
            seen.work_file |= WORK.contains(&extension);
            let head = part
                .encoding
                .decode(part.body.get(..part.body.len().min(64)).unwrap_or_default());
            // ZIP local file header: signature, version, flags; bit 0 of the flags says encrypted.
            seen.encrypted |=
                head.starts_with(b"PK\x03\x04") && head.get(6).is_some_and(|flags| flags & 1 == 1);
        }
        seen
    }
}
