//! The feed file of PhishTank (`online-valid.csv`), or any file with one web address a line.

use crate::score::{host_and_bare, page_key};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Most octets of a file that are read.
const MAX_OCTETS: u64 = 256 << 20;
const MAX_ENTRIES: usize = 2_000_000;
/// Longest line that is read; a longer one is skipped.
const MAX_LINE: usize = 64 * 1024;

/// Why a feed file is not used. The operator is to blame; it is read again once it has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: holds no web address; fetch online-valid.csv again", .0.display())]
    NoAddress(PathBuf),
}

/// The entries of a feed.
#[derive(Debug, Default)]
pub(super) struct Feed {
    pages: HashSet<u64>,
    /// Hosts whose entry names no page: all of them is phishing.
    hosts: HashSet<Box<str>>,
}

impl Feed {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no web address at all.
    pub(super) fn load(path: &Path) -> Result<Self, FeedError> {
        let wrong = |source| FeedError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(wrong)?;
        let feed = Self::read(&mut BufReader::new(file.take(MAX_OCTETS))).map_err(wrong)?;
        if feed.entries() == 0 {
            return Err(FeedError::NoAddress(path.to_owned()));
        }
        Ok(feed)
    }

    fn read(lines: &mut dyn BufRead) -> std::io::Result<Self> {
        let mut feed = Self::default();
        let mut column = None;
        let mut line = Vec::new();
        while feed.entries() < MAX_ENTRIES {
            line.clear();
            if (&mut *lines)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            if line.len() == MAX_LINE {
                skip_line(lines)?;
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            let cells = || Cells(text.trim_end());
            // The first line names the columns; a plain list has one and no such line.
            let at = *column.get_or_insert_with(|| {
                cells()
                    .position(|c| c.eq_ignore_ascii_case("url"))
                    .unwrap_or(0)
            });
            if let Some(cell) = cells().nth(at) {
                feed.add(&cell);
            }
        }
        Ok(feed)
    }

    fn add(&mut self, url: &str) {
        let Some((host, bare)) = host_and_bare(url) else {
            return;
        };
        if bare {
            self.hosts.insert(host.into());
        } else if let Some(key) = page_key(url) {
            self.pages.insert(key);
        }
    }

    /// How many entries it holds.
    pub(super) fn entries(&self) -> usize {
        self.pages.len() + self.hosts.len()
    }

    /// What of a message stands in it, in words.
    pub(super) fn find(&self, hosts: &[Box<str>], pages: &[u64]) -> Option<String> {
        if let Some(host) = hosts.iter().find(|h| self.hosts.contains(*h)) {
            return Some(format!("link host {host}"));
        }
        pages
            .iter()
            .any(|p| self.pages.contains(p))
            .then(|| match hosts {
                [only] => format!("a page of link host {only}"),
                _ => "the page of a link".to_owned(),
            })
    }
}

/// Reads on to the end of a line that is too long.
fn skip_line(lines: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, ended) =
            memchr::memchr(b'\n', buffer).map_or((buffer.len(), false), |at| (at + 1, true));
        lines.consume(used);
        if ended {
            return Ok(());
        }
    }
}

/// The cells of a line of comma-separated values (RFC 4180).
struct Cells<'l>(&'l str);

impl Iterator for Cells<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let Some(quoted) = self.0.strip_prefix('"') else {
            let (cell, rest) = self.0.split_once(',').unwrap_or((self.0, ""));
            self.0 = rest;
            return Some(cell.to_owned());
        };
        let mut cell = String::new();
        let mut rest = quoted;
        while let Some((part, after)) = rest.split_once('"') {
            cell.push_str(part);
            rest = after;
            // Two quotes are one.
            let Some(more) = rest.strip_prefix('"') else {
                break;
            };
            cell.push('"');
            rest = more;
        }
        self.0 = rest.split_once(',').map_or("", |(_, rest)| rest);
        Some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Feed {
        Feed::read(&mut text.as_bytes()).unwrap()
    }

    #[test]
    fn pages_are_found_and_a_shared_host_is_not_blamed() {
        let feed = feed(
            "phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target\r\n\
             1,\"http://docs.example/a,b?x=\"\"1\"\"\",http://www.phishtank.com/1,2026,yes,2026,yes,Bank\r\n\
             2,https://evil.example/,http://www.phishtank.com/2,2026,yes,2026,yes,Other\r\n",
        );
        assert_eq!(feed.entries(), 2);
        let find = |host: &str, url: &str| feed.find(&[host.into()], &[page_key(url).unwrap()]);
        assert_eq!(
            find("evil.example", "https://evil.example/any"),
            Some("link host evil.example".into())
        );
        assert_eq!(
            find("docs.example", "https://docs.example/a,b?x=\"1\""),
            Some("a page of link host docs.example".into())
        );
        assert_eq!(find("docs.example", "https://docs.example/other"), None);
    }

    #[test]
    fn a_plain_list_of_addresses_and_rubbish() {
        let feed = feed(&format!(
            "https://a.example/x\nnonsense\n\n{}\nhttps://b.example\n",
            "x".repeat(3 * MAX_LINE)
        ));
        assert_eq!(feed.entries(), 2);
    }

    #[test]
    fn a_file_without_addresses_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed");
        std::fs::write(&path, "<html>rate limited</html>").unwrap();
        let said = |path: &Path| Feed::load(path).unwrap_err().to_string();
        assert_eq!(
            said(&path),
            format!(
                "{}: holds no web address; fetch online-valid.csv again",
                path.display()
            )
        );
        let none = dir.path().join("none");
        assert!(said(&none).starts_with(&format!("{}: No such file", none.display())));
    }
}
