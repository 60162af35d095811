//! The tables on disk: one JSON line per record behind a line that names the format, with length and CRC32C at the end of
//! each line's frame, so that a torn or altered file is refused whole.

use super::Judge;
use super::trail::Trail;
use crate::reputation::group::Group;
use crate::reputation::seen::Counted;
use crate::reputation::sender::Sender;
use crate::types::SenderKey;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"OGREP\x01\r\n";
/// Largest record believed, in octets: a sender with a full sketch is under 1.5 MB as JSON.
const MAX_RECORD: u32 = 8 << 20;

#[derive(Serialize, Deserialize)]
enum Record<'a> {
    Sender(SenderKey, Cow<'a, Sender>),
    Group(u64, Cow<'a, Group>),
    Trail(SenderKey, Cow<'a, Trail>),
    Seen(Vec<(u64, bool)>),
    /// The last record: how many came before it.
    End(u64),
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    records: u64,
    failed: Option<io::Error>,
}

impl Writer<'_> {
    fn put(&mut self, record: &Record<'_>) {
        if self.failed.is_none()
            && let Err(error) = self.try_put(record)
        {
            self.failed = Some(error);
        }
    }

    fn try_put(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, record)?;
        let length = u32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&self.buffer).to_le_bytes())?;
        self.out.write_all(&self.buffer)?;
        self.records += 1;
        Ok(())
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("reputation snapshot: {why}"))
}

impl Judge {
    /// Writes the tables (not the blocks: those live in records). Mail goes on meanwhile.
    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        let mut writer = Writer { out, buffer: Vec::new(), records: 0, failed: None };
        self.senders.copies(|key, sender| writer.put(&Record::Sender(key, Cow::Owned(sender))));
        self.groups.copies(|key, group| writer.put(&Record::Group(key, Cow::Owned(group))));
        self.trails.copies(|key, trail| writer.put(&Record::Trail(key, Cow::Owned(trail))));
        let mut seen = Vec::new();
        self.seen.each(|key, fully| seen.push((key, fully)));
        seen.chunks(4096).for_each(|chunk| writer.put(&Record::Seen(chunk.to_vec())));
        let records = writer.records;
        writer.put(&Record::End(records));
        writer.failed.map_or(Ok(()), Err)
    }

    /// Reads what `snapshot` wrote; a damaged or foreign snapshot is an error and leaves the tables empty.
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
        self.trails.clear();
        self.seen.clear();
    }

    fn read_all(&self, input: &mut dyn Read) -> io::Result<()> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic).map_err(|_| bad("too short"))?;
        if magic != *MAGIC {
            return Err(bad("not of this version"));
        }
        let mut buffer = Vec::new();
        let mut records = 0_u64;
        loop {
            let (mut length, mut crc) = ([0; 4], [0; 4]);
            input.read_exact(&mut length).map_err(|_| bad("torn"))?;
            input.read_exact(&mut crc).map_err(|_| bad("torn"))?;
            let length = u32::from_le_bytes(length);
            if length > MAX_RECORD {
                return Err(bad("damaged"));
            }
            buffer.clear();
            buffer.resize(length as usize, 0);
            input.read_exact(&mut buffer).map_err(|_| bad("torn"))?;
            if crc32c::crc32c(&buffer) != u32::from_le_bytes(crc) {
                return Err(bad("damaged"));
            }
            let record: Record<'_> = serde_json::from_slice(&buffer).map_err(|e| bad(&e.to_string()))?;
            match record {
                Record::Sender(key, value) => {
                    let value = value.into_owned();
                    self.senders.with(&key, || value, |_| ());
                }
                Record::Group(key, value) => {
                    let value = value.into_owned();
                    self.groups.with(&key, || value, |_| ());
                }
                Record::Trail(key, value) => {
                    let value = value.into_owned();
                    self.trails.with(&key, || value, |_| ());
                }
                Record::Seen(list) => {
                    let state = |fully: bool| if fully { Counted::Fully } else { Counted::Evidence };
                    list.into_iter().for_each(|(key, fully)| self.seen.set(key, state(fully)));
                }
                Record::End(n) if n == records => return Ok(()),
                Record::End(_) => return Err(bad("incomplete")),
            }
            records += 1;
        }
    }
}
