//! Parameters of MAIL and RCPT, and xtext.

use crate::types::replies::{self, FixedReply};
use crate::types::{BodyType, DsnRet, Notify};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MailParams {
    /// `SIZE=` (RFC 1870 section 3).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152 section 2).
    pub body: Option<BodyType>,
    /// `SMTPUTF8` (RFC 6531 section 3.4).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 section 4.3).
    pub ret: Option<DsnRet>,
    /// `ENVID=`, xtext still encoded (RFC 3461 section 4.4).
    pub envid: Option<Box<str>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RcptParams {
    /// `NOTIFY=` (RFC 3461 section 4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=` as sent (RFC 3461 section 4.2).
    pub orcpt: Option<Box<str>>,
}

/// Splits `text` into `KEYWORD[=value]` (RFC 5321 section 4.1.1.11). Each parameter checks its own
/// value.
fn each(text: &str) -> impl Iterator<Item = Result<(String, Option<&str>), FixedReply>> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let good = keyword
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && keyword
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        if good {
            Ok((keyword.to_ascii_uppercase(), value))
        } else {
            Err(replies::BAD_PARAMETER)
        }
    })
}

/// Sets a value; a second one is an error.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), FixedReply> {
    if place.is_some() {
        return Err(replies::PARAMETER_TWICE);
    }
    *place = Some(value.ok_or(replies::BAD_PARAMETER)?);
    Ok(())
}

/// Sets a flag for a parameter without a value; a second one is an error.
fn flag(place: &mut bool, good: bool) -> Result<(), FixedReply> {
    let mut slot = place.then_some(());
    set(&mut slot, good.then_some(()))?;
    *place = true;
    Ok(())
}

/// Reads the parameters of MAIL.
pub(crate) fn mail(text: &str) -> Result<MailParams, FixedReply> {
    let mut params = MailParams::default();
    for param in each(text) {
        let (keyword, value) = param?;
        match keyword.as_str() {
            // Without a number it is ignored.
            "SIZE" if value == Some("") => {}
            "SIZE" => set(&mut params.size, value.and_then(size))?,
            "BODY" => set(&mut params.body, body(value)?)?,
            "SMTPUTF8" => flag(&mut params.smtputf8, value.is_none())?,
            "RET" => set(&mut params.ret, value.and_then(ret))?,
            "ENVID" => set(
                &mut params.envid,
                value.map(|v| passed_on(v, "+3D")).filter(|v| is_envid(v)),
            )?,
            // RFC 4954 section 5: the author of the mail, for servers that trust the peer. This
            // relay never does, so the value is ignored.
            "AUTH" => {}
            _ => return Err(replies::UNKNOWN_PARAMETER),
        }
    }
    Ok(params)
}

/// Reads the parameters of RCPT.
pub(crate) fn rcpt(text: &str) -> Result<RcptParams, FixedReply> {
    let mut params = RcptParams::default();
    for param in each(text) {
        let (keyword, value) = param?;
        match keyword.as_str() {
            "NOTIFY" => set(&mut params.notify, value.and_then(notify))?,
            "ORCPT" => set(&mut params.orcpt, value.and_then(orcpt))?,
            _ => return Err(replies::UNKNOWN_PARAMETER),
        }
    }
    Ok(params)
}

/// Up to 20 digits (RFC 1870 section 3). A number beyond 64 bits becomes the largest value.
fn size(value: &str) -> Option<u64> {
    (value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit()))
        .then(|| value.parse().unwrap_or(u64::MAX))
}

/// 7BIT or 8BITMIME. BINARYMIME (RFC 3030 section 3) is not offered.
fn body(value: Option<&str>) -> Result<Option<BodyType>, FixedReply> {
    match value.map(str::to_ascii_uppercase).as_deref() {
        Some("7BIT") => Ok(Some(BodyType::SevenBit)),
        Some("8BITMIME") => Ok(Some(BodyType::EightBit)),
        Some("BINARYMIME") => Err(replies::UNKNOWN_PARAMETER),
        _ => Ok(None),
    }
}

fn ret(value: &str) -> Option<DsnRet> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(DsnRet::Full),
        "HDRS" => Some(DsnRet::Headers),
        _ => None,
    }
}

/// xtext of printable text and spaces, at most 100 octets encoded (RFC 3461 section 4.4).
fn is_envid(value: &str) -> bool {
    (1..=100).contains(&value.len())
        && xtext_decode(value).is_some_and(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b)))
}

/// A value as it is passed on: unchanged, except for a bare `=`. Many clients send it
/// (`prvs=1234=alice@...`), and not every next hop accepts it.
fn passed_on(value: &str, equals: &str) -> Box<str> {
    if value.contains('=') {
        value.replace('=', equals).into()
    } else {
        value.into()
    }
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::NEVER);
    }
    let mut out = Notify::NEVER;
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => out.success = true,
            "FAILURE" => out.failure = true,
            "DELAY" => out.delay = true,
            // NEVER must be alone (RFC 3461 section 4.1).
            _ => return None,
        }
    }
    Some(out)
}

/// Address type, `;`, xtext; at most 500 octets (RFC 3461 section 4.2). The type `utf-8` uses
/// `\x{NNNN}` and may contain UTF-8 (RFC 6533 section 3); those octets are passed on unchanged.
fn orcpt(value: &str) -> Option<Box<str>> {
    let (kind, text) = value.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
    let text_ok = if is_utf8 {
        text.chars().all(|c| !c.is_control() && c != ' ')
    } else {
        xtext_decode(text).is_some()
    };
    let value = passed_on(value, if is_utf8 { "\\x{3D}" } else { "+3D" });
    (value.len() <= 500 && atom && !text.is_empty() && text_ok).then_some(value)
}

/// Decodes xtext (RFC 3461 section 4): printable ASCII except `+`, and `+HH` in hexadecimal. The
/// RFC requires upper case; Exchange sends lower case. A bare `=` is forbidden but common. `None`
/// if the text is something else, or the result is not UTF-8.
pub(super) fn xtext_decode(text: &str) -> Option<String> {
    String::from_utf8(xtext_octets(text)?).ok()
}

/// The same for any character set.
pub(super) fn xtext_octets(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            b'!'..=b'~' => out.push(b),
            _ => return None,
        }
    }
    Some(out)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_parameters() {
        let p = mail(" SIZE=10 body=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>").expect("good");
        assert_eq!(p.size, Some(10));
        assert_eq!(p.body, Some(BodyType::EightBit));
        assert!(p.smtputf8);
        assert_eq!(p.ret, Some(DsnRet::Headers));
        assert_eq!(p.envid.as_deref(), Some("a+2Bb"));
        assert_eq!(
            mail("SIZE=99999999999999999999").expect("20 digits").size,
            Some(u64::MAX)
        );
        assert_eq!(mail("SIZE= BODY=8bitmime").expect("blank").size, None);
        assert_eq!(mail("SIZE=0 RET=full").expect("none").size, Some(0));
        // As Exchange writes it, and as it goes on.
        assert_eq!(
            mail("ENVID=x+3dy+2b").expect("lower case").envid.as_deref(),
            Some("x+3dy+2b")
        );
        assert_eq!(
            mail("ENVID=QUJD==").expect("base64").envid.as_deref(),
            Some("QUJD+3D+3D")
        );
        for auth in [
            "AUTH=alice",
            "AUTH=",
            "AUTH",
            "AUTH=a=b+",
            "AUTH=<> AUTH=alice+40acme.example",
        ] {
            assert_eq!(mail(auth), Ok(MailParams::default()), "{auth}");
        }
    }

    #[test]
    fn refused_parameters() {
        let long_envid = format!("ENVID={}", "a".repeat(101));
        let long_as_passed_on = format!("ENVID={}", "=".repeat(34));
        for (text, want) in [
            ("SIZE", replies::BAD_PARAMETER),
            ("SIZE=-1", replies::BAD_PARAMETER),
            ("SIZE=1 size=2", replies::PARAMETER_TWICE),
            ("SMTPUTF8 SMTPUTF8", replies::PARAMETER_TWICE),
            ("SMTPUTF8=1", replies::BAD_PARAMETER),
            ("BODY=9BIT", replies::BAD_PARAMETER),
            ("BODY=BINARYMIME", replies::UNKNOWN_PARAMETER),
            ("RET=ALL", replies::BAD_PARAMETER),
            ("ENVID=a+b", replies::BAD_PARAMETER),
            ("ENVID=a+2g", replies::BAD_PARAMETER),
            ("ENVID=", replies::BAD_PARAMETER),
            ("RET=", replies::BAD_PARAMETER),
            ("BODY=", replies::BAD_PARAMETER),
            ("SMTPUTF8=", replies::BAD_PARAMETER),
            (&long_envid, replies::BAD_PARAMETER),
            (&long_as_passed_on, replies::BAD_PARAMETER),
            ("=x", replies::BAD_PARAMETER),
            ("FOO=bar", replies::UNKNOWN_PARAMETER),
            ("MT-PRIORITY=3", replies::UNKNOWN_PARAMETER),
        ] {
            assert_eq!(mail(text).err(), Some(want), "{text}");
        }
    }

    #[test]
    fn recipient_parameters() {
        let p = rcpt("NOTIFY=success,DELAY ORCPT=rfc822;bob@x.example").expect("good");
        assert_eq!(
            p.notify,
            Some(Notify {
                success: true,
                failure: false,
                delay: true
            })
        );
        assert_eq!(p.orcpt.as_deref(), Some("rfc822;bob@x.example"));
        assert_eq!(
            rcpt("NOTIFY=NEVER").expect("good").notify,
            Some(Notify::NEVER)
        );
        assert!(rcpt("ORCPT=utf-8;b\\x{F6}b@x.example").is_ok());
        // As Exchange and list servers write them.
        for (given, orcpt) in [
            (
                "ORCPT=rfc822;bob+2btag@x.example",
                "rfc822;bob+2btag@x.example",
            ),
            (
                "ORCPT=rfc822;prvs=1234=bob@x.example",
                "rfc822;prvs+3D1234+3Dbob@x.example",
            ),
            ("ORCPT=utf-8;a=b@x.example", "utf-8;a\\x{3D}b@x.example"),
        ] {
            assert_eq!(rcpt(given).expect("good").orcpt.as_deref(), Some(orcpt));
        }
        for text in [
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=",
            "NOTIFY=x",
            "ORCPT=bob",
            "ORCPT=;x",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a+b",
        ] {
            assert!(rcpt(text).is_err(), "{text}");
        }
    }

    #[test]
    fn xtext() {
        assert_eq!(xtext_decode("a+2Bb+3Dc").as_deref(), Some("a+b=c"));
        assert_eq!(xtext_decode("+C3+BC").as_deref(), Some("ü"));
        assert_eq!(xtext_decode("a+2bb+3d=").as_deref(), Some("a+b=="));
        for bad in ["+", "+2", "+2g", "+ff", "a b", "+FF", "+-1"] {
            assert_eq!(xtext_decode(bad), None, "{bad}");
        }
    }
}
