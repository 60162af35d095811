//! Hosts of links. Where they lead is a matter of the class: honest mail mostly leads to its
//! sender's own hosts, spam mostly elsewhere. Both do the other thing at times.

use super::GrammarError;
use super::cast;
use super::fill::Fill;

/// Where links lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkTarget {
    /// A host of the sender's own firm.
    Own,
    /// A service that firms use: tickets, surveys, mailings.
    Service,
    /// A firm that has nothing to do with the sender.
    Stranger,
    /// A page of somebody else's site that was broken into.
    BrokenInto,
    /// Made of the name that the message gives itself.
    LookAlike,
    /// A throw-away name.
    Cheap,
    /// A site where anybody can publish.
    FreeHosting,
    Shortener,
    /// A bare address.
    Number,
}

/// Share of each target in honest mail and in spam, in percent.
const SHARES: [(LinkTarget, u64, u64); 9] = [
    (LinkTarget::Own, 66, 4),
    (LinkTarget::Service, 22, 6),
    (LinkTarget::Stranger, 4, 5),
    (LinkTarget::BrokenInto, 0, 13),
    (LinkTarget::LookAlike, 1, 21),
    (LinkTarget::Cheap, 2, 26),
    (LinkTarget::FreeHosting, 3, 15),
    (LinkTarget::Shortener, 2, 9),
    (LinkTarget::Number, 0, 1),
];

/// Where the links of one message lead to.
#[derive(Debug, Clone, Default)]
pub(super) struct SeedLinks {
    pub spam: bool,
    /// What the template states: `own`, `service`, `free` or `odd`.
    pub wanted: Option<String>,
    /// The name that the message gives itself.
    pub brand: String,
    /// The host of the link before.
    host: Option<(LinkTarget, String)>,
}

/// The host of a link, mostly that of the link before.
pub(super) fn link_host(fill: &mut Fill<'_>) -> Result<String, GrammarError> {
    if let Some((_, host)) = fill.links.host.clone()
        && fill.rng.chance(0.75)
    {
        return Ok(host);
    }
    let target = draw(fill);
    let host = match target {
        LinkTarget::Own => own(fill),
        LinkTarget::Service => fill.draw("service")?,
        LinkTarget::Stranger | LinkTarget::BrokenInto => {
            let (_, host) = cast::firm(fill)?;
            if fill.rng.chance(0.5) {
                format!("www.{host}")
            } else {
                host
            }
        }
        LinkTarget::LookAlike => look_alike(fill)?,
        LinkTarget::Cheap => cheap(fill)?,
        LinkTarget::FreeHosting => {
            let name = free_name(fill)?;
            format!("{name}.{}", fill.draw("freehost")?)
        }
        LinkTarget::Shortener => fill.draw("shortener")?,
        LinkTarget::Number => format!(
            "{}.{}.{}.{}",
            45 + fill.rng.below(150),
            fill.rng.below(255),
            fill.rng.below(255),
            1 + fill.rng.below(253)
        ),
    };
    fill.links.host = Some((target, host.clone()));
    Ok(host)
}

fn draw(fill: &mut Fill<'_>) -> LinkTarget {
    match fill.links.wanted.as_deref() {
        Some("own") => return LinkTarget::Own,
        Some("service") => return LinkTarget::Service,
        Some("free") => return LinkTarget::FreeHosting,
        _ => {}
    }
    let spam = fill.links.spam || fill.links.wanted.as_deref() == Some("odd");
    let mut at = fill.rng.below(100);
    for (target, honest, bad) in SHARES {
        let share = if spam { bad } else { honest };
        if at < share {
            return target;
        }
        at -= share;
    }
    LinkTarget::Own
}

/// A host of the sender's firm.
pub(super) fn own(fill: &mut Fill<'_>) -> String {
    let host = &fill.cast.me.host;
    match fill.rng.below(8) {
        0..=2 => format!("www.{host}"),
        3 => format!("portal.{host}"),
        4 => format!("my.{host}"),
        5 => format!("service.{host}"),
        _ => host.clone(),
    }
}

fn look_alike(fill: &mut Fill<'_>) -> Result<String, GrammarError> {
    let brand = ascii_name(&fill.links.brand);
    let brand: String = brand.split('-').take(2).collect::<Vec<_>>().join("-");
    let word = fill.draw("lureword")?;
    let tld = fill.draw("cheaptld")?;
    Ok(match fill.rng.below(4) {
        0 => format!("{brand}-{word}.{tld}"),
        1 => format!("{word}-{brand}.com"),
        2 => format!("{word}.{brand}.{}.{tld}", fill.draw("lureword")?),
        _ => format!("{brand}.{word}{}.{tld}", fill.pattern("##")),
    })
}

fn cheap(fill: &mut Fill<'_>) -> Result<String, GrammarError> {
    let (one, two) = (fill.draw("hostword")?, fill.draw("hostword")?);
    let tld = fill.draw("cheaptld")?;
    Ok(match fill.rng.below(4) {
        0 => format!("{one}{two}.{tld}"),
        1 => format!("{one}-{two}.{tld}"),
        2 => format!("{one}{}.{tld}", fill.pattern("###")),
        _ => format!("{}.{one}{two}.{tld}", fill.draw("lureword")?),
    })
}

fn free_name(fill: &mut Fill<'_>) -> Result<String, GrammarError> {
    let (one, two) = (fill.draw("hostword")?, fill.draw("lureword")?);
    Ok(match fill.rng.below(3) {
        0 => format!("{one}-{two}"),
        1 => format!("{two}-{one}-{}", fill.pattern("~~~~")),
        _ => format!("{one}{two}{}", fill.pattern("##")),
    })
}

/// The address of a page on a host.
pub(super) fn link(fill: &mut Fill<'_>, host: &str, path: &str) -> String {
    let target = fill.links.host.as_ref().map(|(target, _)| *target);
    let scheme = if fill.rng.chance(0.04) {
        "http"
    } else {
        "https"
    };
    if target == Some(LinkTarget::Shortener) {
        return format!("{scheme}://{host}/{}", fill.pattern("@~@~#~@"));
    }
    let folder = match (target, fill.rng.below(4)) {
        (Some(LinkTarget::BrokenInto), 0) => "wp-content/uploads/",
        (Some(LinkTarget::BrokenInto), 1) => "wp-includes/js/",
        (Some(LinkTarget::BrokenInto), 2) => "images/",
        _ => "",
    };
    let end = match fill.rng.below(7) {
        0 => format!("?id={}", fill.pattern("######")),
        1 => format!("?ref={}", fill.pattern("@~~~#~~~")),
        2 => format!("/{}", fill.pattern("~~~~~~~~~~~~")),
        3 => "/".to_owned(),
        4 => format!("/{}", fill.pattern("#####")),
        _ => String::new(),
    };
    format!("{scheme}://{host}/{folder}{path}{end}")
}

/// A name in the letters of a host: small, with hyphens.
pub(super) fn ascii_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if let Some((_, letters)) = LETTERS.iter().find(|(from, _)| from.contains(c)) {
            name.push_str(letters);
        } else if !name.ends_with('-') && !matches!(c, '\'' | '’' | '\u{307}') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() {
        "info".to_owned()
    } else {
        name.to_owned()
    }
}

/// Letters and what stands for them in addresses.
const LETTERS: [(&str, &str); 47] = [
    ("àáâãåąа", "a"),
    ("ä", "ae"),
    ("æ", "ae"),
    ("çćčц", "c"),
    ("б", "b"),
    ("в", "v"),
    ("г", "g"),
    ("ďд", "d"),
    ("èéêëęěеёэ", "e"),
    ("ж", "zh"),
    ("зźżž", "z"),
    ("ìíîïıий", "i"),
    ("к", "k"),
    ("łл", "l"),
    ("м", "m"),
    ("ñńнň", "n"),
    ("òóôõøо", "o"),
    ("ö", "oe"),
    ("п", "p"),
    ("рř", "r"),
    ("сśşš", "s"),
    ("ß", "ss"),
    ("тť", "t"),
    ("ùúûуů", "u"),
    ("ü", "ue"),
    ("ф", "f"),
    ("х", "kh"),
    ("ч", "ch"),
    ("ш", "sh"),
    ("щ", "shch"),
    ("ъь", ""),
    ("ы", "y"),
    ("ю", "yu"),
    ("я", "ya"),
    ("ğ", "g"),
    ("ý", "y"),
    ("œ", "oe"),
    (".", "-"),
    ("_", "-"),
    ("/", "-"),
    ("&", "-"),
    ("+", "-"),
    (",", ""),
    ("!", ""),
    ("?", ""),
    (":", ""),
    ("\"", ""),
];
