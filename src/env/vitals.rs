//! Watches the parts that must run until the relay ends. If a task or thread ends by itself, most
//! likely by a panic, the relay must not go on to say 250 and deliver nothing: the end is noticed
//! at once, and the process ends to be started again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The parts of one relay that run until it ends; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<VitalsInner>);

#[derive(Debug, Default)]
struct VitalsInner {
    /// The first part that ended.
    ended: watch::Sender<Option<&'static str>>,
    /// The relay is ending, so its parts may end.
    ending: AtomicBool,
}

/// One running part. If it is dropped without [`Pulse::over`], the part has failed.
#[derive(Debug)]
pub struct Pulse {
    vitals: Vitals,
    name: &'static str,
    over: bool,
}

impl Vitals {
    /// Watches a thread, which owns the pulse.
    pub fn watch(&self, name: &'static str) -> Pulse {
        Pulse {
            vitals: self.clone(),
            name,
            over: false,
        }
    }

    /// Starts a task that must run until the relay ends.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let pulse = self.watch(name);
        tokio::spawn(async move {
            #[cfg(debug_assertions)]
            tokio::select! {
                () = task => {}
                () = super::fault::strike(name) => {}
            }
            #[cfg(not(debug_assertions))]
            task.await;
            drop(pulse);
        })
    }

    /// The first part that has ended, if any.
    pub fn ended(&self) -> Option<&'static str> {
        *self.0.ended.borrow()
    }

    /// Returns once a part has ended, with its name.
    pub async fn wait(&self) -> &'static str {
        let mut ended = self.0.ended.subscribe();
        loop {
            if let Some(name) = *ended.borrow_and_update() {
                return name;
            }
            // `self` owns the sender.
            let _ = ended.changed().await;
        }
    }

    /// From now on parts may end normally; a panic is still reported.
    pub fn expect_end(&self) {
        self.0.ending.store(true, Ordering::Release);
    }
}

impl Pulse {
    /// One step of a thread's work begins.
    pub fn beat(&self) {
        #[cfg(debug_assertions)]
        super::fault::strike_now(self.name);
    }

    /// Ends the part normally.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if self.over || (!panicked && self.vitals.0.ending.load(Ordering::Acquire)) {
            return;
        }
        tracing::error!(
            part = self.name,
            panicked,
            "a part of the relay has ended: no mail is taken any more, the relay stops"
        );
        self.vitals.0.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(self.name);
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_told_and_one_that_ends_too() {
        for panics in [true, false] {
            let vitals = Vitals::default();
            let task = vitals.spawn("queue", async move {
                assert!(!panics, "a message nobody had thought of")
            });
            assert_eq!(vitals.wait().await, "queue");
            assert_eq!(task.await.is_err(), panics);
        }
    }

    #[tokio::test]
    async fn at_the_end_of_the_relay_parts_end_but_do_not_panic() {
        let vitals = Vitals::default();
        vitals.expect_end();
        vitals.spawn("queue", async {}).await.unwrap();
        assert_eq!(vitals.ended(), None);
        vitals
            .spawn("outcomes", async { panic!("at the last moment") })
            .await
            .unwrap_err();
        assert_eq!(vitals.ended(), Some("outcomes"));
    }

    #[test]
    fn a_thread_that_panics_is_told_and_one_that_ends_in_order_is_not() {
        let vitals = Vitals::default();
        let run = |panics: bool| {
            let pulse = vitals.watch("spool");
            let thread = std::thread::spawn(move || {
                assert!(!panics, "a record nobody had thought of");
                pulse.over();
            });
            thread.join().is_err()
        };
        assert!(!run(false));
        assert_eq!(vitals.ended(), None);
        assert!(run(true));
        assert_eq!(vitals.ended(), Some("spool"));
    }
}
