//! `records.db`: one writer thread with its own connection, and a few readers.

use super::{RecordsError, schema};
use crate::env::{Vitals, private};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Most writes that wait for the writer thread; further ones wait in the caller.
const WRITES_WAITING: usize = 256;
const READERS: usize = 4;
/// How long a write waits for another process (the command line) that locks the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

enum StoreJob {
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
    Close(oneshot::Sender<()>),
}

pub(super) struct RecordsStore {
    path: PathBuf,
    jobs: mpsc::Sender<StoreJob>,
    idle: Arc<Mutex<Vec<Connection>>>,
    readers: Arc<Semaphore>,
}

fn closed() -> RecordsError {
    RecordsError::Failed("records are closed".into())
}

/// The file has password hashes and addresses: mode 0600 from the first moment.
pub(super) fn create_private(path: &Path) -> Result<(), RecordsError> {
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |e: std::io::Error| RecordsError::Failed(format!("{}: {e}", path.display()));
    if let Some(dir) = path.parent() {
        private::create_dir(dir).map_err(fail)?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, RecordsError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on disk before its block reference is announced.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Reads the whole file: damage must be found before missing blocks count as no blocks. The file is
/// small compared with the trace: one second per gigabyte.
fn check(connection: Connection) -> Result<Connection, RecordsError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if found == "ok" {
        Ok(connection)
    } else {
        Err(RecordsError::Damaged(found))
    }
}

impl RecordsStore {
    /// Opens or creates the file and starts its writer.
    pub(super) fn open(path: &Path, vitals: &Vitals) -> Result<Self, RecordsError> {
        create_private(path)?;
        let mut connection = connect(path).and_then(check)?;
        schema::migrate(&mut connection)?;
        let (jobs, mut waiting) = mpsc::channel::<StoreJob>(WRITES_WAITING);
        let pulse = vitals.watch("records");
        std::thread::Builder::new()
            .name("records".into())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    pulse.beat();
                    match job {
                        StoreJob::Run(run) => run(&mut connection),
                        StoreJob::Close(done) => {
                            drop(connection);
                            let _gone = done.send(());
                            break;
                        }
                    }
                }
                pulse.over();
            })
            .map_err(|e| RecordsError::Failed(e.to_string()))?;
        let idle = Arc::new(Mutex::new(Vec::new()));
        Ok(Self {
            path: path.to_owned(),
            jobs,
            idle,
            readers: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `change` in its own transaction on the writer; returns once it is committed and synced.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let (answer, result) = oneshot::channel();
        let job = StoreJob::Run(Box::new(move |connection| {
            let run = || {
                // IMMEDIATE: no other process may write between the reads and the writes of this
                // transaction.
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let value = change(&tx)?;
                tx.commit()?;
                Ok(value)
            };
            drop(answer.send(run()));
        }));
        self.jobs.send(job).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Runs `query` on a reader, off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        self.blocking(move || on_reader(&path, &idle, query)).await
    }

    /// Runs `query` on a reader in this thread: for the start, before anything is async.
    pub(super) fn read_now<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, RecordsError>,
    ) -> Result<T, RecordsError> {
        on_reader(&self.path, &self.idle, query)
    }

    /// Runs blocking work, at most [`READERS`] jobs at once.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let permit = Arc::clone(&self.readers)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let run = move || {
            let result = work();
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|e| RecordsError::Failed(e.to_string()))?
    }

    /// Ends the writer after all waiting writes.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(StoreJob::Close(done)).await.is_ok() {
            drop(ended.await);
        }
        self.readers.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn on_reader<T>(
    path: &Path,
    idle: &Mutex<Vec<Connection>>,
    query: impl FnOnce(&Connection) -> Result<T, RecordsError>,
) -> Result<T, RecordsError> {
    let spare = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let connection = match spare {
        Some(connection) => connection,
        None => connect(path)?,
    };
    let result = query(&connection);
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < READERS {
        idle.push(connection);
    }
    result
}

/// Stores or removes one small value.
pub(super) fn put_value(
    tx: &Transaction<'_>,
    space: &str,
    key: &str,
    value: Option<&str>,
) -> Result<(), RecordsError> {
    match value {
        Some(value) => tx.execute(
            "INSERT INTO value(space, key, value) VALUES(?1, ?2, ?3) ON CONFLICT(space, key) DO UPDATE SET value = excluded.value",
            params![space, key, value],
        )?,
        None => tx.execute("DELETE FROM value WHERE space = ?1 AND key = ?2", params![space, key])?,
    };
    Ok(())
}

/// Stores a small value unless it exists.
pub(super) fn put_new_value(
    tx: &Transaction<'_>,
    space: &str,
    key: &str,
    value: &str,
) -> Result<(), RecordsError> {
    tx.execute(
        "INSERT OR IGNORE INTO value(space, key, value) VALUES(?1, ?2, ?3)",
        params![space, key, value],
    )?;
    Ok(())
}

/// All values of a space, by key.
pub(super) fn all_values(
    connection: &Connection,
    space: &str,
) -> Result<Vec<(String, String)>, RecordsError> {
    let mut query =
        connection.prepare_cached("SELECT key, value FROM value WHERE space = ?1 ORDER BY key")?;
    let rows = query
        .query_map([space], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The first values of a space after a key, by key.
pub(super) fn page_of_values(
    connection: &Connection,
    space: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, String)>, RecordsError> {
    let mut query = connection.prepare_cached(
        "SELECT key, value FROM value WHERE space = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query
        .query_map(params![space, after, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The role of the account or token of that name, to record who acted.
pub(super) fn role_of(tx: &Transaction<'_>, name: &str) -> Result<Option<String>, RecordsError> {
    let role = tx
        .query_row("SELECT role FROM token WHERE name = ?1 UNION ALL SELECT role FROM account WHERE name = ?1", [name], |r| {
            r.get(0)
        })
        .optional()?;
    Ok(role)
}
