//! The tables on disk. A snapshot holds all of them, one frame per record (length, CRC32C, the
//! record as postcard) after eight octets that name the format; a torn or altered snapshot is
//! refused whole. A journal holds in such frames the records changed since, each as it was then:
//! written every second, read up to the first torn frame. A record that is read twice, or over a
//! newer one of the snapshot, is at most as old as the last second before the crash.

use super::recent_messages::RecentMessages;
use crate::detector::Detector;
use crate::detector::state::group::Group;
use crate::detector::state::known::KnownRecipients;
use crate::detector::state::past::OwnPast;
use crate::detector::state::reports::SenderReports;
use crate::detector::state::scores::Scores;
use crate::detector::state::seen::Counted;
use crate::detector::state::sender::Sender;
use crate::types::SenderKey;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"OGREP\x03\r\n";
/// Largest record believed, in octets: a sender with a full sketch is under 0.1 MB.
const MAX_RECORD: u32 = 8 << 20;
/// Entries of the table of counted messages in one record.
const SEEN: usize = 4096;

#[derive(Serialize, Deserialize)]
enum SnapshotRecord<'a> {
    Sender(SenderKey, Cow<'a, Sender>),
    Group(u64, Cow<'a, Group>),
    RecentMessages(SenderKey, Cow<'a, RecentMessages>),
    /// A sender with so many recipients that the journal leaves them out: the snapshot's recipients
    /// stay.
    WithoutRecipients(SenderKey, Cow<'a, Sender>),
    Seen(Vec<(u64, Counted)>),
    /// The last record: how many came before it.
    End(u64),
    /// Scores of a tenant. This kind and those below come after the end record, because the
    /// position of a kind is its number on disk.
    Scores(u64, Cow<'a, Scores>),
    /// What was reported of a sender's mail, by the hash of its key.
    Reports(u64, Cow<'a, SenderReports>),
    /// How the mail of a sender has scored; it follows the record of the sender, which had none of
    /// it in earlier versions.
    Past(SenderKey, OwnPast),
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    records: u64,
    failed: Option<io::Error>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            buffer: Vec::new(),
            records: 0,
            failed: None,
        }
    }

    fn put(&mut self, record: &SnapshotRecord<'_>) {
        if self.failed.is_none()
            && let Err(error) = self.try_put(record)
        {
            self.failed = Some(error);
        }
    }

    /// Puts a sender, in a record of the kind that `record` makes, and its past behind it.
    fn put_sender(
        &mut self,
        key: SenderKey,
        sender: Sender,
        record: impl FnOnce(SenderKey, Cow<'static, Sender>) -> SnapshotRecord<'static>,
    ) {
        let past = sender.past;
        let owner = (past != OwnPast::default()).then(|| key.clone());
        self.put(&record(key, Cow::Owned(sender)));
        if let Some(key) = owner {
            self.put(&SnapshotRecord::Past(key, past));
        }
    }

    fn try_put(&mut self, record: &SnapshotRecord<'_>) -> io::Result<()> {
        self.buffer.clear();
        postcard::to_io(record, &mut self.buffer).map_err(io::Error::other)?;
        let length = u32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out
            .write_all(&crc32c::crc32c(&self.buffer).to_le_bytes())?;
        self.out.write_all(&self.buffer)?;
        self.records += 1;
        Ok(())
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("reputation snapshot: {why}"),
    )
}

impl Detector {
    /// Writes the tables (not the blocks, which are in `records`). Mail continues meanwhile.
    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        let mut writer = Writer::new(out);
        self.senders
            .copies(|key, sender| writer.put_sender(key, sender, SnapshotRecord::Sender));
        self.groups
            .copies(|key, group| writer.put(&SnapshotRecord::Group(key, Cow::Owned(group))));
        self.recent_messages.copies(|key, recent_messages| {
            writer.put(&SnapshotRecord::RecentMessages(
                key,
                Cow::Owned(recent_messages),
            ))
        });
        self.scores
            .copies(|key, scores| writer.put(&SnapshotRecord::Scores(key, Cow::Owned(scores))));
        self.reports
            .copies(|key, reports| writer.put(&SnapshotRecord::Reports(key, Cow::Owned(reports))));
        let mut seen = Vec::new();
        self.seen.each(|key, fully| {
            let counted = if fully {
                Counted::Fully
            } else {
                Counted::Evidence
            };
            seen.push((key, counted));
        });
        seen.chunks(SEEN)
            .for_each(|chunk| writer.put(&SnapshotRecord::Seen(chunk.to_vec())));
        let records = writer.records;
        writer.put(&SnapshotRecord::End(records));
        writer.failed.map_or(Ok(()), Err)
    }

    /// Starts to record changes, for [`Detector::journal`].
    pub fn watch_changes(&self) {
        self.senders.watch();
        self.groups.watch();
        self.recent_messages.watch();
        self.scores.watch();
        self.reports.watch();
        self.seen.watch();
    }

    /// Appends the changes since the last call; returns the number of records.
    ///
    /// # Errors
    /// Something could not be written: the changes are then in no journal, and a snapshot is due.
    pub fn journal(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut writer = Writer::new(out);
        self.seen
            .changes()
            .chunks(SEEN)
            .for_each(|chunk| writer.put(&SnapshotRecord::Seen(chunk.to_vec())));
        self.senders.changes(|key, mut sender| {
            if sender.known.is_exact() {
                writer.put_sender(key, sender, SnapshotRecord::Sender);
            } else {
                sender.known = KnownRecipients::default();
                writer.put_sender(key, sender, SnapshotRecord::WithoutRecipients);
            }
        });
        self.groups
            .changes(|key, group| writer.put(&SnapshotRecord::Group(key, Cow::Owned(group))));
        self.recent_messages.changes(|key, recent_messages| {
            writer.put(&SnapshotRecord::RecentMessages(
                key,
                Cow::Owned(recent_messages),
            ))
        });
        self.scores
            .changes(|key, scores| writer.put(&SnapshotRecord::Scores(key, Cow::Owned(scores))));
        self.reports
            .changes(|key, reports| writer.put(&SnapshotRecord::Reports(key, Cow::Owned(reports))));
        writer.failed.map_or(Ok(writer.records), Err)
    }

    /// Applies what `journal` wrote, up to the first torn or altered frame; returns the number of
    /// records.
    pub fn restore_journal(&self, input: &mut dyn Read) -> u64 {
        let mut buffer = Vec::new();
        let mut records = 0;
        while let Ok(record) = read_frame(input, &mut buffer) {
            if !self.take(record) {
                break;
            }
            records += 1;
        }
        records
    }

    /// Reads what `snapshot` wrote. A damaged or foreign snapshot is an error and leaves the tables
    /// empty.
    pub fn restore(&self, input: &mut dyn Read) -> io::Result<()> {
        self.clear();
        let result = self.read_all(input);
        if result.is_err() {
            self.clear();
        }
        result
    }

    fn clear(&self) {
        self.senders.clear();
        self.groups.clear();
        self.recent_messages.clear();
        self.scores.clear();
        self.reports.clear();
        self.seen.clear();
    }

    fn read_all(&self, input: &mut dyn Read) -> io::Result<()> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic).map_err(|_| bad("too short"))?;
        if magic != *MAGIC {
            return Err(bad("not of this version"));
        }
        let mut buffer = Vec::new();
        for records in 0_u64.. {
            match read_frame(input, &mut buffer)? {
                SnapshotRecord::End(n) if n == records => return Ok(()),
                SnapshotRecord::End(_) => return Err(bad("incomplete")),
                record => self.take(record),
            };
        }
        Err(bad("without an end"))
    }

    /// Puts a record into its table; false for the end of a snapshot.
    fn take(&self, record: SnapshotRecord<'_>) -> bool {
        match record {
            SnapshotRecord::Sender(key, value) => {
                self.senders.replace(&key, value.into_owned());
            }
            SnapshotRecord::WithoutRecipients(key, value) => {
                let mut value = value.into_owned();
                value.known = self
                    .senders
                    .read(&key, |old| old.known.clone())
                    .unwrap_or_default();
                self.senders.replace(&key, value);
            }
            SnapshotRecord::Group(key, value) => {
                self.groups.replace(&key, value.into_owned());
            }
            SnapshotRecord::RecentMessages(key, value) => {
                self.recent_messages.remove(&key);
                self.recent_messages
                    .with(&key, || value.into_owned(), |_| ());
            }
            SnapshotRecord::Scores(key, value) => {
                self.scores.replace(&key, value.into_owned());
            }
            SnapshotRecord::Reports(key, value) => {
                self.reports.replace(&key, value.into_owned());
            }
            SnapshotRecord::Past(key, past) => {
                self.senders.get(&key, |sender| sender.past = past);
            }
            SnapshotRecord::Seen(list) => list
                .into_iter()
                .for_each(|(key, counted)| self.seen.set(key, counted)),
            SnapshotRecord::End(_) => return false,
        }
        true
    }
}

fn read_frame(input: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<SnapshotRecord<'static>> {
    let (mut length, mut crc) = ([0; 4], [0; 4]);
    input.read_exact(&mut length).map_err(|_| bad("torn"))?;
    input.read_exact(&mut crc).map_err(|_| bad("torn"))?;
    let length = u32::from_le_bytes(length);
    if length > MAX_RECORD {
        return Err(bad("damaged"));
    }
    buffer.clear();
    buffer.resize(length as usize, 0);
    input.read_exact(buffer).map_err(|_| bad("torn"))?;
    if crc32c::crc32c(buffer) != u32::from_le_bytes(crc) {
        return Err(bad("damaged"));
    }
    postcard::from_bytes(buffer).map_err(|e| bad(&e.to_string()))
}
