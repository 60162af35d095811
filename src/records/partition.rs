//! Partitions of the message trace: one SQLite file per stretch of time. A new one begins after a
//! day or a sixteenth of `trace_bytes`; one that is too old is dropped whole. So no row is ever
//! deleted, indexes stay small, and the bound on octets is exact.
//!
//! The name of a partition is the first millisecond it covers. A message always belongs to the
//! partition of the time in its id. With `synchronous=OFF` a killed process loses nothing. A power
//! cut may damage the partition being written, which is then set aside.

use super::{MessageTrace, RecordsError, TraceQuery, TracedJudgement, store};
use crate::api::TraceLine;
use crate::telemetry::metrics as names;
use crate::types::{MessageId, Time};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS message(id INTEGER PRIMARY KEY, judged BLOB NOT NULL, history BLOB);
    CREATE TABLE IF NOT EXISTS event(id INTEGER, seq INTEGER, lines BLOB NOT NULL, PRIMARY KEY(id, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS lookup(key INTEGER, id INTEGER, PRIMARY KEY(key, id)) WITHOUT ROWID;
";
/// A new partition begins after a day.
const SPAN_MILLIS: i64 = 86_400_000;
/// A new partition begins when the newest has this fraction (1/n) of the bound on octets.
const SHARE_OF_BOUND: u64 = 16;
/// A smaller partition is never replaced because of its size.
const SMALLEST: u64 = 4 << 20;
/// Partitions that the writer keeps open: the one of today, and those of mail that is still being
/// tried.
const OPEN_AT_MOST: usize = 8;
/// Most messages examined in one search.
const SCANNED_AT_MOST: usize = 200_000;

/// One line of history as stored: milliseconds, recipient's index or -1, status, text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HistoryLine(pub i64, pub i64, pub Box<str>, pub String);

/// What one batch says about one message.
pub(super) struct Fold {
    pub id: MessageId,
    pub judged: Option<Box<TracedJudgement>>,
    pub lines: Vec<HistoryLine>,
}

/// SQLite has signed integers only; this conversion keeps the order.
const fn row_id(id: MessageId) -> i64 {
    (id.0 ^ (1 << 63)).cast_signed()
}

/// The milliseconds in a message id.
const fn millis(id: MessageId) -> i64 {
    (id.0 >> 22).cast_signed()
}

/// FNV-1a over the lower-case text, with the kind of key mixed in. It must never change, because
/// files contain it. A search compares the text, too, so a collision only costs one comparison.
fn key(kind: u8, text: &str) -> i64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, kind);
    for c in text.chars().flat_map(char::to_lowercase) {
        let mut octets = [0u8; 4];
        hash = c.encode_utf8(&mut octets).bytes().fold(hash, fnv);
    }
    hash.cast_signed()
}

const BY_SENDER: u8 = b's';
const BY_RECIPIENT: u8 = b'r';
const BY_HEADER_ID: u8 = b'm';
const BY_TENANT: u8 = b't';

fn lookups(judged: &TracedJudgement, out: &mut Vec<(i64, i64)>) {
    let id = row_id(judged.id);
    out.push((key(BY_SENDER, &judged.sender), id));
    if judged.from != judged.sender && !judged.from.is_empty() {
        out.push((key(BY_SENDER, &judged.from), id));
    }
    out.extend(judged.recipients.iter().map(|r| (key(BY_RECIPIENT, r), id)));
    out.extend(
        judged
            .header_message_id
            .iter()
            .map(|m| (key(BY_HEADER_ID, m), id)),
    );
    out.extend(
        judged
            .tenant
            .iter()
            .map(|t| (key(BY_TENANT, t.as_str()), id)),
    );
}

fn file(dir: &Path, start: i64) -> PathBuf {
    dir.join(format!("trace-{start:013}.db"))
}

/// Start times of the existing partitions, oldest first.
fn starts(dir: &Path) -> Vec<i64> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut starts: Vec<i64> = entries
        .filter_map(|e| {
            e.ok()?
                .file_name()
                .to_str()?
                .strip_prefix("trace-")?
                .strip_suffix(".db")?
                .parse()
                .ok()
        })
        .collect();
    starts.sort_unstable();
    starts
}

fn size(dir: &Path, start: i64) -> u64 {
    let of = |path: PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let main = file(dir, start);
    of(main.with_extension("db-wal")) + of(main)
}

fn remove(dir: &Path, start: i64) {
    let main = file(dir, start);
    for path in [
        main.with_extension("db-wal"),
        main.with_extension("db-shm"),
        main,
    ] {
        if let Err(e) = std::fs::remove_file(&path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), error = %e, "cannot remove an old part of the message trace");
        }
    }
}

/// The writer's view of the partitions.
pub(super) struct Partitions {
    dir: PathBuf,
    starts: Vec<i64>,
    open: Vec<(i64, Connection)>,
    begin_anew_at: u64,
}

impl Partitions {
    /// The partitions in `dir`, which is created with the first event.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            starts: starts(&dir),
            dir,
            open: Vec::new(),
            begin_anew_at: (10 << 30) / SHARE_OF_BOUND,
        }
    }

    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    /// Writes a batch. What cannot be written is dropped and logged: the trace never delays mail.
    pub(super) fn write(&mut self, mut folds: Vec<Fold>) {
        while let Some(first) = folds.first() {
            let Some(start) = self.home(first) else {
                folds.remove(0);
                continue;
            };
            let end = self
                .starts
                .iter()
                .copied()
                .find(|s| *s > start)
                .unwrap_or(i64::MAX);
            let oldest = self.starts.first() == Some(&start);
            let (here, elsewhere): (Vec<Fold>, Vec<Fold>) = folds
                .into_iter()
                .partition(|f| millis(f.id) < end && (oldest || millis(f.id) >= start));
            folds = elsewhere;
            if let Err(e) = self.write_to(start, &here) {
                metrics::counter!(names::TRACE_DROPPED_TOTAL)
                    .increment(u64::try_from(here.len()).unwrap_or(0));
                tracing::error!(error = %e, messages = here.len(), "cannot write the message trace");
            }
        }
    }

    /// The partition of this message. `None` = the message is older than everything kept.
    fn home(&mut self, fold: &Fold) -> Option<i64> {
        let at = millis(fold.id);
        let newest = self.starts.last().copied();
        let begin = newest.is_none_or(|start| {
            at.saturating_sub(start) >= SPAN_MILLIS
                || (at > start && size(&self.dir, start) >= self.begin_anew_at)
        });
        if begin && fold.judged.is_some() {
            self.starts.push(at);
            return Some(at);
        }
        let found = self.starts.iter().rev().copied().find(|start| *start <= at);
        found.or_else(|| fold.judged.as_ref().and(self.starts.first().copied()))
    }

    fn write_to(&mut self, start: i64, folds: &[Fold]) -> Result<(), RecordsError> {
        let result = self.connection(start).and_then(|connection| {
            let tx = connection.transaction()?;
            insert(&tx, folds)?;
            tx.commit()
        });
        match result {
            Err(rusqlite::Error::SqliteFailure(f, _))
                if matches!(f.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
            {
                self.set_aside(start);
                Err(RecordsError::Failed(format!(
                    "{} is damaged and was set aside",
                    file(&self.dir, start).display()
                )))
            }
            other => Ok(other?),
        }
    }

    fn set_aside(&mut self, start: i64) {
        self.open.retain(|(s, _)| *s != start);
        let from = file(&self.dir, start);
        if let Err(e) = std::fs::rename(&from, from.with_extension("damaged")) {
            tracing::error!(path = %from.display(), error = %e, "cannot set a damaged part of the message trace aside");
        }
        // Its journal must not be applied to the file that replaces it.
        remove(&self.dir, start);
    }

    fn connection(&mut self, start: i64) -> rusqlite::Result<&mut Connection> {
        if let Some(at) = self.open.iter().position(|(s, _)| *s == start) {
            let entry = self.open.remove(at);
            self.open.push(entry);
        } else {
            if self.open.len() >= OPEN_AT_MOST {
                self.open.remove(0);
            }
            let path = file(&self.dir, start);
            store::create_private(&path)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "cache_size", -8192)?;
            connection.execute_batch(SCHEMA)?;
            self.open.push((start, connection));
        }
        self.open
            .last_mut()
            .map(|(_, c)| c)
            .ok_or(rusqlite::Error::InvalidQuery)
    }

    /// Drops partitions whose last message is older than `before`, and the oldest ones until all
    /// fit into `octets`. The newest one stays.
    pub(super) fn prune(&mut self, before: Time, octets: u64) -> Result<(), RecordsError> {
        self.begin_anew_at = (octets / SHARE_OF_BOUND).max(SMALLEST);
        let mut total: u64 = self.starts.iter().map(|s| size(&self.dir, *s)).sum();
        while let [oldest, next, ..] = *self.starts.as_slice() {
            if next > before.0 && total <= octets {
                break;
            }
            total = total.saturating_sub(size(&self.dir, oldest));
            self.open.retain(|(s, _)| *s != oldest);
            remove(&self.dir, oldest);
            self.starts.remove(0);
        }
        Ok(())
    }
}

fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn insert(tx: &Transaction<'_>, folds: &[Fold]) -> rusqlite::Result<()> {
    let mut message = tx
        .prepare_cached("INSERT OR REPLACE INTO message(id, judged, history) VALUES(?1, ?2, ?3)")?;
    let mut event =
        tx.prepare_cached("INSERT INTO event(id, seq, lines) SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2 FROM event WHERE id = ?1")?;
    let mut keys = Vec::with_capacity(folds.len() * 4);
    for fold in folds {
        let lines = if fold.lines.is_empty() {
            None
        } else {
            Some(to_json(&fold.lines)?)
        };
        if let Some(judged) = &fold.judged {
            message.execute(params![row_id(fold.id), to_json(judged)?, lines])?;
            lookups(judged, &mut keys);
        } else if let Some(lines) = lines {
            event.execute(params![row_id(fold.id), lines])?;
        }
    }
    // In key order, neighbouring keys share a page.
    keys.sort_unstable();
    let mut lookup = tx.prepare_cached("INSERT OR IGNORE INTO lookup(key, id) VALUES(?1, ?2)")?;
    for (key, id) in keys {
        lookup.execute(params![key, id])?;
    }
    Ok(())
}

/// Whether the message matches the whole query; the keys only narrow the search.
fn fits(judged: &TracedJudgement, query: &TraceQuery) -> bool {
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    query.id.as_ref().is_none_or(|id| {
        MessageId::parse(id) == Some(judged.id)
            || judged
                .header_message_id
                .as_ref()
                .is_some_and(|m| same(m, bare_message_id(id)))
    }) && query
        .sender
        .as_ref()
        .is_none_or(|s| same(&judged.sender, s) || same(&judged.from, s) || judged.sender_key == *s)
        && query
            .recipient
            .as_ref()
            .is_none_or(|r| judged.recipients.iter().any(|have| same(have, r)))
        && query
            .tenant
            .as_ref()
            .is_none_or(|t| judged.tenant.as_ref() == Some(t))
        && query.before.is_none_or(|b| judged.id < b)
}

/// Message-ID without the angle brackets that people copy with it.
fn bare_message_id(text: &str) -> &str {
    text.trim().trim_start_matches('<').trim_end_matches('>')
}

/// The address or login in a query: the text itself, or the middle of a sender key
/// (`acme:alice@acme.example;192.0.2.7`). `None` = a key without a sender; then all messages are
/// examined.
fn sender_of(text: &str) -> Option<&str> {
    let Some((_, rest)) = text.split_once(':') else {
        return Some(text);
    };
    let address = rest.rsplit_once(';').map_or(rest, |(address, _)| address);
    Some(address).filter(|a| !a.is_empty() && *a != "forwarded")
}

/// The most selective key of the query; `None` = all messages.
fn narrowest(query: &TraceQuery) -> Option<i64> {
    let by_id = query
        .id
        .as_ref()
        .map(|id| key(BY_HEADER_ID, bare_message_id(id)));
    by_id
        .or_else(|| query.recipient.as_ref().map(|r| key(BY_RECIPIENT, r)))
        .or_else(|| {
            query
                .sender
                .as_ref()
                .and_then(|s| sender_of(s))
                .map(|s| key(BY_SENDER, s))
        })
        .or_else(|| query.tenant.as_ref().map(|t| key(BY_TENANT, t.as_str())))
}

/// Searches all partitions, newest first.
pub(super) fn search(dir: &Path, query: &TraceQuery) -> Result<Vec<MessageTrace>, RecordsError> {
    let limit = query.limit.clamp(1, 1000);
    let mut found = Vec::new();
    let mut left = SCANNED_AT_MOST;
    for start in starts(dir).into_iter().rev() {
        if found.len() >= limit || left == 0 {
            break;
        }
        match search_one(&file(dir, start), query, limit - found.len(), &mut left) {
            Ok(more) => found.extend(more),
            // Dropped, set aside or damaged during the search: the other partitions still have
            // results.
            Err(e) => {
                tracing::warn!(partition = start, error = %e, "cannot search a part of the message trace")
            }
        }
    }
    found.sort_by_key(|m: &MessageTrace| Reverse(m.judged.id));
    Ok(found)
}

fn search_one(
    path: &Path,
    query: &TraceQuery,
    limit: usize,
    left: &mut usize,
) -> Result<Vec<MessageTrace>, RecordsError> {
    use rusqlite::OpenFlags;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    if let Some(id) = query.id.as_ref().and_then(|id| MessageId::parse(id)) {
        let row = connection
            .query_row(
                "SELECT judged, history FROM message WHERE id = ?1",
                [row_id(id)],
                |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get(1)?)),
            )
            .optional()?;
        if let Some((judged, history)) = row {
            let judged: TracedJudgement = serde_json::from_slice(&judged)?;
            if fits(&judged, query) {
                return Ok(vec![complete(&connection, judged, history)?]);
            }
        }
    }
    let below = query.before.map_or(i64::MAX, row_id);
    let by_key = narrowest(query);
    let sql = if by_key.is_some() {
        "SELECT m.judged, m.history FROM lookup l JOIN message m ON m.id = l.id WHERE l.key = ?1 AND l.id < ?2 ORDER BY l.id DESC"
    } else {
        "SELECT judged, history FROM message WHERE ?1 IS NULL AND id < ?2 ORDER BY id DESC"
    };
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![by_key, below])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() >= limit || *left == 0 {
            break;
        }
        *left -= 1;
        let judged: Vec<u8> = row.get(0)?;
        let judged: TracedJudgement = serde_json::from_slice(&judged)?;
        if fits(&judged, query) {
            found.push(complete(&connection, judged, row.get(1)?)?);
        }
    }
    Ok(found)
}

/// Adds the history: first the lines of the row, then those of later events.
fn complete(
    connection: &Connection,
    judged: TracedJudgement,
    folded: Option<Vec<u8>>,
) -> Result<MessageTrace, RecordsError> {
    let mut lines: Vec<HistoryLine> =
        folded.map_or_else(|| Ok(Vec::new()), |bytes| serde_json::from_slice(&bytes))?;
    let mut later =
        connection.prepare_cached("SELECT lines FROM event WHERE id = ?1 ORDER BY seq")?;
    let mut rows = later.query([row_id(judged.id)])?;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(0)?;
        lines.extend(serde_json::from_slice::<Vec<HistoryLine>>(&bytes)?);
    }
    lines.sort_by_key(|line| line.0);
    let history = lines
        .into_iter()
        .map(|HistoryLine(time, recipient, status, text)| TraceLine {
            time: Time(time).rfc3339(),
            recipient: usize::try_from(recipient)
                .ok()
                .and_then(|i| judged.recipients.get(i))
                .cloned()
                .unwrap_or_default(),
            status: status.into(),
            text,
        })
        .collect();
    Ok(MessageTrace { judged, history })
}
