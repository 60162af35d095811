//! One segment file: appending to it, reading it, and searching it after a crash.

use super::format::{
    self, FILE_HEADER, FileHeader, Generation, RECORD_HEADER, RecordHeader, RecordKind, TRAILER,
};
use crate::env::{Disk, DiskFile};
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// Octets of the first read of a record: header and a meta of usual size.
const HEAD_READ: usize = 4096;
/// Octets per read when a damaged stretch is searched and copied.
const SEARCH_READ: usize = 1 << 20;

/// A record to be written to a segment.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub kind: RecordKind,
    pub id: u64,
    /// Order over all segments.
    pub seq: u64,
    pub front: Bytes,
    /// Body; empty unless `Accepted`.
    pub body: Bytes,
    /// Sum of the body.
    pub body_crc: u32,
}

impl Record {
    /// A record without body.
    pub(super) const fn small(kind: RecordKind, id: u64, seq: u64, front: Bytes) -> Self {
        Self {
            kind,
            id,
            seq,
            front,
            body: Bytes::new(),
            body_crc: 0,
        }
    }

    /// Its octets in the file.
    pub(super) fn len(&self) -> u64 {
        u64::from(RECORD_HEADER) + self.front.len() as u64 + self.body.len() as u64
    }

    fn header(&self, synced_to: u32) -> RecordHeader {
        RecordHeader {
            kind: self.kind,
            front_len: len_u32(&self.front),
            body_len: len_u32(&self.body),
            front_crc: crc32c::crc32c(&self.front),
            body_crc: self.body_crc,
            synced_to,
            id: self.id,
            seq: self.seq,
        }
    }
}

fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The path of a segment.
pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The number in the path of a segment; `None` if it is another file.
pub(super) fn number_of(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// A segment open for appending.
pub(super) struct Appender {
    /// Head of the file.
    pub head: FileHeader,
    /// First octet not written.
    pub end: u32,
    /// Everything below is durable.
    pub synced_to: u32,
    /// Messages may end here at most; the space behind is for progress.
    pub message_limit: u32,
    /// Records may end here at most: the reserved size.
    pub capacity: u32,
    file: Box<dyn DiskFile>,
    list: Vec<u8>,
}

impl Appender {
    /// Creates a segment with room for `capacity` octets. Its name and head are durable when this
    /// returns.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        head: FileHeader,
        capacity: u32,
        message_limit: u32,
    ) -> io::Result<Self> {
        let path = path(dir, head.number);
        let file = disk.create(&path)?;
        let start = || {
            file.allocate(u64::from(capacity))?;
            file.write_at(&[IoSlice::new(&head.encode())], 0)?;
            file.sync_data()?;
            disk.sync_dir(dir)
        };
        if let Err(error) = start() {
            // It is empty: if it cannot be removed now, recovery removes it.
            if let Err(again) = disk.remove(&path) {
                tracing::warn!(path = %path.display(), error = %again, "cannot remove an unfinished spool segment");
            }
            return Err(error);
        }
        Ok(Self {
            head,
            end: FILE_HEADER,
            synced_to: FILE_HEADER,
            message_limit,
            capacity,
            file,
            list: Vec::new(),
        })
    }

    /// Octets of the list for the seal.
    pub(super) fn list_len(&self) -> usize {
        self.list.len()
    }

    /// Writes the records with one call; returns the offset of each. After an error the segment
    /// must be abandoned.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record> + Clone,
    ) -> io::Result<Vec<u32>> {
        let headers: Vec<_> = records
            .clone()
            .map(|r| r.header(self.synced_to).encode(self.head.salt))
            .collect();
        let mut parts = Vec::with_capacity(headers.len() * 3);
        let mut offsets = Vec::with_capacity(headers.len());
        let mut at = u64::from(self.end);
        for (header, record) in headers.iter().zip(records.clone()) {
            parts.extend([
                IoSlice::new(header),
                IoSlice::new(&record.front),
                IoSlice::new(&record.body),
            ]);
            offsets
                .push(u32::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?);
            at += record.len();
        }
        let end = u32::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.file.write_at(&parts, u64::from(self.end))?;
        for ((header, record), offset) in headers.iter().zip(records).zip(&offsets) {
            format::list_record(&mut self.list, *offset, header, &record.front);
        }
        self.end = end;
        Ok(offsets)
    }

    /// Makes everything written durable. After an error the segment must be abandoned.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced_to = self.end;
        Ok(())
    }

    /// Ends the segment with the list of its records. Everything in it must have been synced; an
    /// error does not damage it.
    pub(super) fn seal(mut self) -> io::Result<()> {
        let list = std::mem::take(&mut self.list);
        write_seal(&*self.file, self.head.salt, self.end, list)
    }

    /// Abandons a segment after an error: cuts off what was not synced, if possible. Never syncs.
    pub(super) fn abandon(self) {
        if let Err(error) = self.file.set_len(u64::from(self.synced_to)) {
            tracing::warn!(segment = self.head.number, %error, "cannot cut an abandoned spool segment");
        }
    }
}

/// Writes seal and trailer at `end`, cuts the file behind them and syncs it.
pub(super) fn write_seal(
    file: &dyn DiskFile,
    salt: u64,
    end: u32,
    list: Vec<u8>,
) -> io::Result<()> {
    let seal = Record::small(RecordKind::Seal, 0, 0, list.into());
    let header = seal.header(end).encode(salt);
    let trailer = format::encode_trailer(salt, end);
    let total = u64::from(end) + seal.len() + u64::from(TRAILER);
    let write = || {
        file.write_at(
            &[
                IoSlice::new(&header),
                IoSlice::new(&seal.front),
                IoSlice::new(&trailer),
            ],
            u64::from(end),
        )?;
        file.set_len(total)?;
        file.sync_data()
    };
    write().inspect_err(|_| {
        // A partial seal must not remain. Without room for the seal, the segment is read record by
        // record.
        if let Err(error) = file.set_len(u64::from(end)) {
            tracing::warn!(%error, "cannot cut off half a seal of a spool segment");
        }
    })
}

/// Reads header and front of the record at `offset`; `None` if there is no intact one.
pub(super) fn read_head(
    file: &dyn DiskFile,
    salt: u64,
    offset: u64,
    file_len: u64,
) -> io::Result<Option<(RecordHeader, Vec<u8>)>> {
    let mut buf = vec![0; HEAD_READ];
    let got = file.read_at(&mut buf, offset)?;
    buf.truncate(got);
    let Some(header) =
        RecordHeader::parse(&buf, salt).filter(|h| offset + h.total_len() <= file_len)
    else {
        return Ok(None);
    };
    let wanted = RECORD_HEADER as usize + header.front_len as usize;
    if wanted > buf.len() {
        let have = buf.len();
        buf.resize(wanted, 0);
        let rest = buf.get_mut(have..).unwrap_or_default();
        file.read_at(rest, offset + have as u64)?;
    }
    buf.truncate(wanted);
    let front = buf.split_off(RECORD_HEADER as usize);
    Ok((crc32c::crc32c(&front) == header.front_crc).then_some((header, front)))
}

/// Reads `len` octets, or fewer at the end of the file.
pub(super) fn read_range(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let got = file.read_at(&mut buf, offset)?;
    buf.truncate(got);
    Ok(buf)
}

/// Why a record could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

/// Parses a whole record into header, range of the front, range of the body; checks both sums.
pub(super) fn check_record(
    bytes: &[u8],
    salt: u64,
) -> Result<(RecordHeader, std::ops::Range<usize>, std::ops::Range<usize>), Broken> {
    let header = RecordHeader::parse(bytes, salt).ok_or(Broken("its header is damaged"))?;
    let front = RECORD_HEADER as usize..RECORD_HEADER as usize + header.front_len as usize;
    let body = front.end..front.end + header.body_len as usize;
    let front_bytes = bytes.get(front.clone()).ok_or(Broken("it is cut short"))?;
    let body_bytes = bytes.get(body.clone()).ok_or(Broken("it is cut short"))?;
    if crc32c::crc32c(front_bytes) != header.front_crc {
        return Err(Broken("its envelope is damaged"));
    }
    if crc32c::crc32c(body_bytes) != header.body_crc {
        return Err(Broken("its body is damaged"));
    }
    Ok((header, front, body))
}

/// The result of a search of a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Records in order, without the seal: offset, header, front.
    pub records: Vec<(u32, RecordHeader, Vec<u8>)>,
    /// Stretches between records that contain no record.
    pub damaged: Vec<(u32, u32)>,
    /// End of the last record.
    pub end: u32,
    /// Octets from `end` to the last one that is not zero: torn or damaged records.
    pub torn: u64,
}

/// Reads a segment record by record. In the part that was certainly synced, header and front are
/// checked. Behind it the body is checked, too, since a power cut may have kept the header and lost
/// the body.
pub(super) fn scan(file: &dyn DiskFile, salt: u64) -> io::Result<Scan> {
    let file_len = file.size()?;
    let mut found = Scan {
        end: FILE_HEADER,
        ..Scan::default()
    };
    let mut at = u64::from(FILE_HEADER);
    loop {
        match read_head(file, salt, at, file_len)? {
            Some((header, _)) if header.kind == RecordKind::Seal => break,
            Some((header, front)) => {
                let Ok(offset) = u32::try_from(at) else { break };
                at += header.total_len();
                found.records.push((offset, header, front));
            }
            None => match next_record(file, salt, at + 1, file_len)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    drop_torn_bodies(file, &mut found)?;
    for (offset, header, _) in &found.records {
        if *offset > found.end {
            found.damaged.push((found.end, *offset));
        }
        found.end = u32::try_from(u64::from(*offset) + header.total_len()).unwrap_or(u32::MAX);
    }
    if at > u64::from(found.end) && seal_at(file, salt, at, file_len)? {
        found
            .damaged
            .push((found.end, u32::try_from(at).unwrap_or(u32::MAX)));
        found.end = u32::try_from(at).unwrap_or(u32::MAX);
    } else if !seal_at(file, salt, u64::from(found.end), file_len)? {
        found.torn =
            last_octet(file, u64::from(found.end), file_len)?.saturating_sub(u64::from(found.end));
    }
    Ok(found)
}

fn seal_at(file: &dyn DiskFile, salt: u64, at: u64, file_len: u64) -> io::Result<bool> {
    let head = read_range(file, at, RECORD_HEADER as usize)?;
    Ok(at < file_len
        && RecordHeader::parse(&head, salt).is_some_and(|h| h.kind == RecordKind::Seal))
}

fn drop_torn_bodies(file: &dyn DiskFile, found: &mut Scan) -> io::Result<()> {
    let certain = found
        .records
        .iter()
        .map(|(_, h, _)| h.synced_to)
        .max()
        .unwrap_or(0);
    let mut kept = Vec::with_capacity(found.records.len());
    for record in std::mem::take(&mut found.records) {
        let (offset, header, _) = &record;
        let whole = *offset < certain || header.body_len == 0 || {
            let at = u64::from(*offset) + u64::from(RECORD_HEADER) + u64::from(header.front_len);
            crc32c::crc32c(&read_range(file, at, header.body_len as usize)?) == header.body_crc
        };
        if whole {
            kept.push(record);
        }
    }
    found.records = kept;
    Ok(())
}

/// The next place at or behind `from` with an intact record head.
pub(super) fn next_record(
    file: &dyn DiskFile,
    salt: u64,
    from: u64,
    file_len: u64,
) -> io::Result<Option<u64>> {
    let needle = salt.to_le_bytes();
    let mut at = from;
    while at < file_len {
        let window = read_range(file, at, SEARCH_READ)?;
        let hits = window
            .windows(needle.len())
            .enumerate()
            .filter(|(_, w)| *w == needle);
        for (n, _) in hits {
            let place = at + n as u64;
            if read_head(file, salt, place, file_len)?.is_some() {
                return Ok(Some(place));
            }
        }
        if window.len() < SEARCH_READ {
            break;
        }
        at += (SEARCH_READ - needle.len()) as u64;
    }
    Ok(None)
}

/// The offset behind the last octet that is not zero, searched from `from` on.
pub(super) fn last_octet(file: &dyn DiskFile, from: u64, file_len: u64) -> io::Result<u64> {
    let (mut at, mut last) = (from, from);
    while at < file_len {
        let window = read_range(file, at, SEARCH_READ)?;
        if window.is_empty() {
            break;
        }
        if let Some(n) = window.iter().rposition(|b| *b != 0) {
            last = at + n as u64 + 1;
        }
        at += window.len() as u64;
    }
    Ok(last)
}

/// The list of a sealed segment and the offset of its seal; `None` if it is not sealed or the seal
/// is damaged.
pub(super) fn read_list(file: &dyn DiskFile, salt: u64) -> io::Result<Option<(Vec<u8>, u32)>> {
    let file_len = file.size()?;
    let Some(trailer_at) = file_len.checked_sub(u64::from(TRAILER)) else {
        return Ok(None);
    };
    let trailer = read_range(file, trailer_at, TRAILER as usize)?;
    let Some(offset) = format::parse_trailer(&trailer, salt) else {
        return Ok(None);
    };
    let head = read_head(file, salt, u64::from(offset), file_len)?;
    Ok(head
        .filter(|(h, _)| h.kind == RecordKind::Seal)
        .map(|(_, list)| (list, offset)))
}

/// Reads the head of a segment. If both copies are damaged, it takes the salt from the first
/// record.
pub(super) fn read_file_header(file: &dyn DiskFile, number: u32) -> io::Result<Option<FileHeader>> {
    let bytes = read_range(file, 0, FILE_HEADER as usize)?;
    if let Some(head) = FileHeader::parse(&bytes).filter(|h| h.number == number) {
        return Ok(Some(head));
    }
    let first = read_range(file, u64::from(FILE_HEADER), RECORD_HEADER as usize)?;
    let salt = first
        .get(..8)
        .and_then(|b| b.try_into().ok())
        .map(u64::from_le_bytes);
    Ok(salt
        .filter(|salt| RecordHeader::parse(&first, *salt).is_some())
        .map(|salt| FileHeader {
            number,
            generation: Generation::Young,
            salt,
        }))
}

/// Copies a stretch of a file into `damaged/` beside the segments, for an operator to examine.
pub(super) fn set_aside(
    disk: &dyn Disk,
    dir: &Path,
    file: &dyn DiskFile,
    number: u32,
    from: u64,
    to: u64,
) -> io::Result<PathBuf> {
    let folder = dir.join("damaged");
    disk.create_dir(&folder)?;
    let target = folder.join(format!("{number:010}-{from}.bin"));
    if disk.list(&folder)?.contains(&target) {
        return Ok(target);
    }
    // It has another name until it is complete, so that half a copy is never taken for a whole one.
    let part = target.with_extension("part");
    let copy = match disk.create(&part) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(&part)?;
            disk.create(&part)?
        }
        other => other?,
    };
    let mut at = from;
    while at < to {
        let step = usize::try_from(to - at)
            .unwrap_or(SEARCH_READ)
            .min(SEARCH_READ);
        let bytes = read_range(file, at, step)?;
        if bytes.is_empty() {
            break;
        }
        copy.write_at(&[IoSlice::new(&bytes)], at - from)?;
        at += bytes.len() as u64;
    }
    copy.sync_data()?;
    disk.rename(&part, &target)?;
    disk.sync_dir(&folder)?;
    disk.sync_dir(dir)?;
    Ok(target)
}
