//! The judge's tables on disk: a snapshot every few minutes, and a journal of what has changed
//! since, every second. A crash loses about a second of evidence, and no block: those are in the
//! records before they are spoken of.

use crate::detector::Detector;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The newest snapshot below `data_dir`, the one that is being written, the journal since the
/// newest, and the journal from before the one that is being written.
const SNAPSHOT: &str = "reputation.snapshot";
const NEW: &str = "reputation.new";
const JOURNAL: &str = "reputation.journal";
const OLD_JOURNAL: &str = "reputation.journal.old";

pub(super) struct Keeper {
    detector: Arc<Detector>,
    dir: PathBuf,
    journal: Mutex<Journal>,
    /// One snapshot is written at a time: that of the orderly end may meet one that is still under
    /// way.
    saving: Mutex<()>,
}

#[derive(Default)]
struct Journal {
    file: Option<File>,
    /// The journal on disk has a gap: only a snapshot helps, and until then nothing is appended.
    broken: bool,
}

impl Keeper {
    /// Reads what the last run left. Nothing there is a first start; a damaged snapshot is kept
    /// aside, loudly.
    pub(super) fn open(detector: Arc<Detector>, dir: &Path) -> Self {
        let keeper = Self {
            detector,
            dir: dir.to_owned(),
            journal: Mutex::default(),
            saving: Mutex::default(),
        };
        keeper.restore();
        keeper.detector.watch_changes();
        if [JOURNAL, OLD_JOURNAL]
            .into_iter()
            .any(|name| keeper.dir.join(name).exists())
        {
            // Its end may be torn: nothing is appended to it.
            keeper.lock().broken = true;
            keeper.save();
        }
        keeper
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restore(&self) {
        let path = self.dir.join(SNAPSHOT);
        if let Ok(file) = File::open(&path)
            && let Err(error) = self.detector.restore(&mut BufReader::new(file))
        {
            tracing::error!(%error, path = %path.display(), "reputation snapshot not readable: starting without it, kept as .damaged");
            if let Err(error) = fs::rename(&path, path.with_extension("damaged")) {
                tracing::error!(%error, "the damaged snapshot could not be set aside");
            }
        }
        for name in [OLD_JOURNAL, JOURNAL] {
            if let Ok(file) = File::open(self.dir.join(name)) {
                let records = self.detector.restore_journal(&mut BufReader::new(file));
                tracing::info!(
                    records,
                    file = name,
                    "evidence read from the journal: the last run did not end in order"
                );
            }
        }
    }

    /// Appends what has changed since the last call and syncs it. False where only a snapshot
    /// helps.
    pub(super) fn append(&self) -> bool {
        let mut journal = self.lock();
        if journal.broken {
            return false;
        }
        if let Err(error) = self.try_append(&mut journal) {
            tracing::error!(%error, "the journal of evidence could not be written; a snapshot follows");
            *journal = Journal {
                file: None,
                broken: true,
            };
        }
        !journal.broken
    }

    fn try_append(&self, journal: &mut Journal) -> io::Result<()> {
        let file = match &mut journal.file {
            Some(file) => file,
            none => none.insert(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(self.dir.join(JOURNAL))?,
            ),
        };
        let mut out = BufWriter::new(file);
        if self.detector.journal(&mut out)? > 0 {
            out.flush()?;
            out.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// Writes the snapshot beside the old one, syncs, and puts it in its place; what was journalled
    /// before it goes.
    pub(super) fn save(&self) {
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_save() {
            tracing::error!(%error, "reputation could not be saved");
        }
    }

    fn try_save(&self) -> io::Result<()> {
        let path = |name| self.dir.join(name);
        {
            // What is appended from now on is newer than some of the snapshot. After a snapshot
            // that failed, the old journal is still there and still needed.
            let mut journal = self.lock();
            if !path(OLD_JOURNAL).exists() && path(JOURNAL).exists() {
                fs::rename(path(JOURNAL), path(OLD_JOURNAL))?;
                journal.file = None;
            }
        }
        let mut out = BufWriter::new(File::create(path(NEW))?);
        self.detector.snapshot(&mut out)?;
        out.flush()?;
        out.get_ref().sync_data()?;
        fs::rename(path(NEW), path(SNAPSHOT))?;
        File::open(&self.dir)?.sync_all()?;
        remove(&path(OLD_JOURNAL))?;
        let mut journal = self.lock();
        if journal.broken {
            remove(&path(JOURNAL))?;
            *journal = Journal::default();
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::{Reservation, testing};
    use crate::types::{Domain, Identity, MessageId, SenderKey, Strength, TenantId, Time};
    use crate::types::{MessageFacts, RecipientFacts};
    use std::net::IpAddr;

    fn detector() -> Arc<Detector> {
        Arc::new(Detector::new(Arc::new(testing::settings())))
    }

    fn send(detector: &Detector, name: &str, n: u32) {
        let tenant = TenantId::new("acme");
        let address = format!("{name}@acme.example");
        let identity = Identity {
            key: SenderKey::account(&tenant, &address),
            tenant,
            address: address.into(),
            domain: Domain::parse("acme.example"),
            strength: Strength::Authenticated,
            client: IpAddr::from([192, 0, 2, 7]),
            foreign: false,
        };
        let now = Time::from_secs(1_795_356_000 + i64::from(n));
        let facts = MessageFacts {
            id: MessageId::from_parts(now, n),
            identity: &identity,
            recipients: &[RecipientFacts {
                hash: u64::from(n) << 40,
                internal: false,
            }],
            octets: 1000,
            fingerprint: n.into(),
            origin: None,
            failed_logins: 0,
            template: 0,
            llr: 6.0,
            listed: 0.0,
            probability: 0.99,
            symbols: &[],
            link_hosts: &[],
            is_report: false,
        };
        detector.decide(now, &facts, &identity, Reservation::default());
    }

    fn nats(detector: &Detector, name: &str) -> f64 {
        detector
            .sender(
                Time::from_secs(1_795_356_100),
                &format!("acme:{name}@acme.example"),
            )
            .map_or(-1.0, |s| s.evidence_nats)
    }

    #[test]
    fn a_crash_loses_what_was_not_appended_and_no_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = detector();
        let keeper = Keeper::open(Arc::clone(&first), dir.path());
        send(&first, "before", 1);
        keeper.save();
        send(&first, "after", 2);
        assert!(keeper.append());
        send(&first, "after", 3);
        assert!(keeper.append());
        send(&first, "lost", 4);
        // Cut off in the middle of an append, and with no orderly end.
        let mut journal = OpenOptions::new()
            .append(true)
            .open(dir.path().join(JOURNAL))
            .expect("there");
        journal.write_all(&[77, 0, 0, 0, 1, 2]).expect("written");
        let second = detector();
        let keeper = Keeper::open(Arc::clone(&second), dir.path());
        for name in ["before", "after", "lost"] {
            let expected = if name == "lost" {
                -1.0
            } else {
                nats(&first, name)
            };
            assert_eq!(nats(&second, name), expected, "{name}");
        }
        assert!(nats(&second, "after") > nats(&second, "before") && nats(&second, "before") > 0.0);
        // The torn journal is no longer there to be appended to.
        assert!(!dir.path().join(JOURNAL).exists());
        send(&second, "lost", 5);
        assert!(keeper.append());
        let third = detector();
        Keeper::open(Arc::clone(&third), dir.path());
        assert_eq!(nats(&third, "lost"), nats(&second, "lost"));
    }

    #[test]
    fn a_snapshot_that_fails_keeps_both_journals_and_a_gap_in_the_journal_asks_for_a_snapshot() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = detector();
        let keeper = Keeper::open(Arc::clone(&first), dir.path());
        send(&first, "a", 1);
        assert!(keeper.append());
        // The place of the new snapshot is taken.
        fs::create_dir(dir.path().join(NEW)).expect("made");
        keeper.save();
        send(&first, "b", 2);
        assert!(keeper.append());
        keeper.save();
        let second = detector();
        let other = Keeper::open(Arc::clone(&second), dir.path());
        assert!(nats(&second, "a") > 0.0 && nats(&second, "b") > 0.0);
        // Nothing is appended to journals that may be torn until a snapshot has been written.
        assert!(!other.append());
        fs::remove_dir(dir.path().join(NEW)).expect("removed");
        send(&second, "c", 3);
        other.save();
        assert!(other.append());
        let third = detector();
        Keeper::open(Arc::clone(&third), dir.path());
        assert!(
            ["a", "b", "c"]
                .into_iter()
                .all(|name| nats(&third, name) > 0.0)
        );
    }
}
