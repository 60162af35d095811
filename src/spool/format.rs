//! The octets of a segment. Pure: it does not touch files.
//!
//! ```text
//! 0      file header   magic 8, number 4, generation 1, zero 3, salt 8, CRC 4; a second copy at 2048
//! 4096   records       each: header of 52 octets, front, body
//! end    seal          a record whose front lists all records before it with their fronts, then a trailer of 16 octets
//! ```
//! All numbers are little endian, all sums CRC32C. Every record header begins with the salt of its
//! segment, 64 random bits, so that a search for the next record after a damaged one cannot
//! take the content of a message for a record.

/// Length of the file header; the first record begins here.
pub(super) const FILE_HEADER: u32 = 4096;
/// Length of a record header.
pub(super) const RECORD_HEADER: u32 = 52;
/// Length of the trailer of a sealed segment.
pub(super) const TRAILER: u32 = 16;
const MAGIC: &[u8; 8] = b"OGSPOOL1";
const SECOND_COPY: usize = 2048;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum RecordKind {
    /// A message: front = meta as JSON, body = the message.
    Accepted = 1,
    /// Progress of a message: front = the queue's record.
    Progress = 2,
    /// A message is done: front = segments (4 octets each) that hold its accepted record.
    Done = 3,
    /// A message that was never acknowledged although its record may be on disk: front as in
    /// `Done`.
    Aborted = 4,
    /// End of a segment: front = the list of its records.
    Seal = 5,
}

impl RecordKind {
    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Accepted),
            2 => Some(Self::Progress),
            3 => Some(Self::Done),
            4 => Some(Self::Aborted),
            5 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// The generation of messages that a segment collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// New mail; most of it is done within seconds.
    Young,
    /// Mail that was still live when its young segment was cleaned. It will probably stay.
    Deferred,
}

/// The head of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Number of the segment; never used twice in one spool.
    pub number: u32,
    pub generation: Generation,
    /// Random, unknown to the outside.
    pub salt: u64,
}

impl FileHeader {
    /// The first [`FILE_HEADER`] octets of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut one = Vec::with_capacity(FILE_HEADER as usize);
        one.extend_from_slice(MAGIC);
        one.extend_from_slice(&self.number.to_le_bytes());
        one.push(u8::from(self.generation == Generation::Deferred));
        one.extend_from_slice(&[0; 3]);
        one.extend_from_slice(&self.salt.to_le_bytes());
        one.extend_from_slice(&crc32c::crc32c(&one).to_le_bytes());
        one.resize(SECOND_COPY, 0);
        let second = one.clone();
        one.extend_from_slice(&second);
        one
    }

    /// Reads the copy that is intact.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::parse_copy(bytes).or_else(|| Self::parse_copy(bytes.get(SECOND_COPY..)?))
    }

    fn parse_copy(bytes: &[u8]) -> Option<Self> {
        let covered = bytes.get(..24)?;
        if covered.get(..8)? != MAGIC || u32_at(bytes, 24)? != crc32c::crc32c(covered) {
            return None;
        }
        let generation = if *bytes.get(12)? == 1 {
            Generation::Deferred
        } else {
            Generation::Young
        };
        Some(Self {
            number: u32_at(bytes, 8)?,
            generation,
            salt: u64_at(bytes, 16)?,
        })
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub kind: RecordKind,
    /// Octets of the front, which follows the header.
    pub front_len: u32,
    /// Octets of the body, which follows the front.
    pub body_len: u32,
    /// Sum of the front.
    pub front_crc: u32,
    /// Sum of the body.
    pub body_crc: u32,
    /// All octets of the segment below this offset had been synced when this was written.
    pub synced_to: u32,
    /// The message; 0 in a seal.
    pub id: u64,
    /// Order over all segments; a copy keeps it.
    pub seq: u64,
}

impl RecordHeader {
    /// The header in octets, with the salt of the segment.
    pub(super) fn encode(&self, salt: u64) -> [u8; RECORD_HEADER as usize] {
        let mut out = [0; RECORD_HEADER as usize];
        let words = [
            (salt & 0xffff_ffff) as u32,
            (salt >> 32) as u32,
            u32::from(self.kind as u8),
            self.front_len,
            self.body_len,
            self.front_crc,
            self.body_crc,
            self.synced_to,
            (self.id & 0xffff_ffff) as u32,
            (self.id >> 32) as u32,
            (self.seq & 0xffff_ffff) as u32,
            (self.seq >> 32) as u32,
        ];
        for (slot, word) in out.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c::crc32c(out.split_at(48).0);
        out.split_at_mut(48).1.copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header at the start of `bytes`; `None` if it is damaged or belongs to another
    /// segment.
    pub(super) fn parse(bytes: &[u8], salt: u64) -> Option<Self> {
        if u64_at(bytes, 0)? != salt || u32_at(bytes, 48)? != crc32c::crc32c(bytes.get(..48)?) {
            return None;
        }
        Some(Self {
            kind: RecordKind::from_u8(u8::try_from(u32_at(bytes, 8)?).ok()?)?,
            front_len: u32_at(bytes, 12)?,
            body_len: u32_at(bytes, 16)?,
            front_crc: u32_at(bytes, 20)?,
            body_crc: u32_at(bytes, 24)?,
            synced_to: u32_at(bytes, 28)?,
            id: u64_at(bytes, 32)?,
            seq: u64_at(bytes, 40)?,
        })
    }

    /// Octets of the whole record.
    pub(super) fn total_len(&self) -> u64 {
        u64::from(RECORD_HEADER) + u64::from(self.front_len) + u64::from(self.body_len)
    }
}

/// The last octets of a sealed segment.
pub(super) fn encode_trailer(salt: u64, seal_offset: u32) -> [u8; TRAILER as usize] {
    let mut out = [0; TRAILER as usize];
    let (head, crc) = out.split_at_mut(12);
    let (salt_part, offset_part) = head.split_at_mut(8);
    salt_part.copy_from_slice(&salt.to_le_bytes());
    offset_part.copy_from_slice(&seal_offset.to_le_bytes());
    crc.copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
    out
}

/// Where the seal begins, from the trailer.
pub(super) fn parse_trailer(bytes: &[u8], salt: u64) -> Option<u32> {
    (u64_at(bytes, 0)? == salt && u32_at(bytes, 12)? == crc32c::crc32c(bytes.get(..12)?))
        .then(|| u32_at(bytes, 8))?
}

/// Adds a record to the list of the seal.
pub(super) fn list_record(list: &mut Vec<u8>, offset: u32, header: &[u8], front: &[u8]) {
    list.extend_from_slice(&offset.to_le_bytes());
    list.extend_from_slice(header);
    list.extend_from_slice(front);
}

/// Iterates over the list of a seal: offset, header and front of each record.
pub(super) struct Listed<'a> {
    rest: &'a [u8],
    salt: u64,
}

impl<'a> Listed<'a> {
    /// Over a list whose sum is already checked.
    pub(super) const fn new(list: &'a [u8], salt: u64) -> Self {
        Self { rest: list, salt }
    }
}

impl<'a> Iterator for Listed<'a> {
    type Item = (u32, RecordHeader, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let offset = u32_at(self.rest, 0)?;
        let record = self.rest.get(4..)?;
        let header = RecordHeader::parse(record, self.salt)?;
        let (record, rest) = record
            .split_at_checked((RECORD_HEADER as usize).checked_add(header.front_len as usize)?)?;
        self.rest = rest;
        Some((offset, header, record.get(RECORD_HEADER as usize..)?))
    }
}

/// The segments named in the front of a `Done` or `Aborted` record.
pub(super) fn targets(front: &[u8]) -> impl Iterator<Item = u32> + '_ {
    front.chunks_exact(4).filter_map(|c| u32_at(c, 0))
}

/// The front of a `Done` or `Aborted` record.
pub(super) fn encode_targets(segments: impl IntoIterator<Item = u32>) -> Vec<u8> {
    segments.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> RecordHeader {
        RecordHeader {
            kind: RecordKind::Accepted,
            front_len: 3,
            body_len: 4,
            front_crc: 5,
            body_crc: 6,
            synced_to: 7,
            id: 0x0102_0304_0506_0708,
            seq: u64::MAX - 9,
        }
    }

    #[test]
    fn a_record_header_reads_back_and_every_flipped_bit_is_seen() {
        let bytes = header().encode(42);
        assert_eq!(RecordHeader::parse(&bytes, 42), Some(header()));
        assert_eq!(RecordHeader::parse(&bytes, 43), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::parse(&bad, 42), None, "bit {bit}");
        }
    }

    #[test]
    fn a_file_header_survives_the_loss_of_one_copy() {
        let head = FileHeader {
            number: 9,
            generation: Generation::Deferred,
            salt: 77,
        };
        let mut bytes = head.encode();
        assert_eq!(bytes.len(), FILE_HEADER as usize);
        assert_eq!(FileHeader::parse(&bytes), Some(head));
        bytes[3] ^= 1;
        assert_eq!(FileHeader::parse(&bytes), Some(head));
        bytes[2050] ^= 1;
        assert_eq!(FileHeader::parse(&bytes), None);
    }

    #[test]
    fn trailer_and_targets_read_back() {
        assert_eq!(parse_trailer(&encode_trailer(5, 99), 5), Some(99));
        assert_eq!(parse_trailer(&encode_trailer(5, 99), 6), None);
        assert_eq!(
            targets(&encode_targets([1, 70_000])).collect::<Vec<_>>(),
            [1, 70_000]
        );
    }

    proptest! {
        #[test]
        fn nothing_read_from_disk_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let salt = u64_at(&bytes, 4).unwrap_or(0);
            let _ = (FileHeader::parse(&bytes), RecordHeader::parse(&bytes, salt), parse_trailer(&bytes, salt));
            prop_assert!(Listed::new(&bytes, salt).count() <= bytes.len());
        }
    }
}
