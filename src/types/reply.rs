//! SMTP replies and enhanced status codes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An enhanced status code (RFC 3463): class.subject.detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Enhanced {
    /// Reads `5.1.8` from the start of `text`; gives the code and what follows it, without the
    /// space between.
    pub fn take(text: &str) -> Option<(Self, &str)> {
        let end = text
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (head, rest) = text.split_at(end);
        let mut parts = head.split('.');
        let code = Self(
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        );
        if parts.next().is_some() || !matches!(code.0, 2 | 4 | 5) || code.1 > 999 || code.2 > 999 {
            return None;
        }
        Some((code, rest.strip_prefix(' ').unwrap_or(rest)))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A reply of an SMTP server: ours to a client or a remote's to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The reply code (RFC 5321 section 4.2).
    pub code: u16,
    /// Absent on the banner, EHLO and 3xx replies, and where a remote gives none.
    pub enhanced: Option<Enhanced>,
    /// Text, one entry per reply line, without code and enhanced code. At least one line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A one-line reply with an enhanced code: `Reply::new(550, (5, 1, 8), "Access denied")`.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced: Some(Enhanced(enhanced.0, enhanced.1, enhanced.2)),
            lines: vec![text.into()],
        }
    }

    /// A one-line reply without enhanced code.
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced: None,
            lines: vec![text.into()],
        }
    }

    /// 2xx.
    pub const fn is_positive(&self) -> bool {
        self.code >= 200 && self.code < 300
    }

    /// 5xx. Everything else that is not positive is temporary: unclear means temporary.
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500 && self.code < 600
    }

    /// The bytes for the wire, CRLF included; the enhanced code stands on every line (RFC 2034
    /// section 4).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (i, line) in self.lines.iter().enumerate() {
            let sep = if i == last { ' ' } else { '-' };
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(sep as u8);
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(enhanced.to_string().as_bytes());
                out.push(b' ');
            }
            out.extend(line.bytes().map(|b| {
                if b == b'\r' || b == b'\n' || b == 0 {
                    b' '
                } else {
                    b
                }
            }));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// One line for logs, traces and DSNs: `550 5.1.8 Access denied`.
    pub fn one_line(&self) -> String {
        let text = self.lines.join(" ");
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced} {text}", self.code),
            None => format!("{} {text}", self.code),
        }
    }
}

/// A reply whose text never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedReply {
    pub(super) code: u16,
    pub(crate) enhanced: Enhanced,
    /// Text after both codes.
    pub(super) text: &'static str,
}

impl From<FixedReply> for Reply {
    fn from(fixed: FixedReply) -> Self {
        Self {
            code: fixed.code,
            enhanced: Some(fixed.enhanced),
            lines: vec![fixed.text.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_carries_the_enhanced_code() {
        let mut reply = Reply::new(550, (5, 1, 8), "Access denied");
        reply.lines.push("ask\r\nus".into());
        let mut out = Vec::new();
        reply.write_to(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "550-5.1.8 Access denied\r\n550 5.1.8 ask  us\r\n"
        );
    }

    #[test]
    fn enhanced_codes_are_read_strictly() {
        assert_eq!(Enhanced::take("5.1.8 no"), Some((Enhanced(5, 1, 8), "no")));
        assert_eq!(Enhanced::take("1.2.3 x"), None);
        assert_eq!(Enhanced::take("5.1 x"), None);
        assert_eq!(Enhanced::take("5.1.8.9"), None);
    }
}
