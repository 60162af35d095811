//! The order of password checks. A check takes 19 MiB and a core for some ten milliseconds, so only
//! few run at once, and a network with many attempts delays only itself.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Most waiting attempts of each lane.
const WAITING: usize = 1024;
/// Most waiting attempts of one network.
const WAITING_OF_NETWORK: usize = 32;
/// One turn in this many goes to unknown networks, if both lanes wait.
const ROUNDS: u8 = 4;

/// The turns of password checks.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<TurnState>>);

struct TurnState {
    free: usize,
    /// Networks known for the account they name. All others are in the other lane.
    known: Lane,
    others: Lane,
    round: u8,
}

/// Networks in the order of their turns, each with its waiting attempts.
#[derive(Default)]
struct Lane {
    order: VecDeque<IpAddr>,
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
    count: usize,
}

impl Lane {
    fn push(&mut self, network: IpAddr) -> Option<oneshot::Receiver<Turn>> {
        let queue = self.waiting.entry(network).or_default();
        if self.count >= WAITING || queue.len() >= WAITING_OF_NETWORK {
            if queue.is_empty() {
                self.waiting.remove(&network);
            }
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        if queue.is_empty() {
            self.order.push_back(network);
        }
        queue.push_back(sender);
        self.count += 1;
        Some(receiver)
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let network = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&network)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.order.push_back(network);
        }
        self.count = self.count.saturating_sub(1);
        next
    }
}

/// A turn; the next one begins when it is dropped.
pub(super) struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.lock().next();
        if let Some(next) = next {
            // A waiter that gave up drops the turn, which passes it on.
            drop(next.send(Self(self.0.clone())));
        }
    }
}

impl TurnState {
    /// The next waiter; if there is none, the turn is free again.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.round = (self.round + 1) % ROUNDS;
        let first = if self.round == 0 {
            self.others.pop().or_else(|| self.known.pop())
        } else {
            None
        };
        let next = first
            .or_else(|| self.known.pop())
            .or_else(|| self.others.pop());
        if next.is_none() {
            self.free += 1;
        }
        next
    }
}

impl Turns {
    /// Allows this many turns at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(TurnState {
            free: at_once,
            known: Lane::default(),
            others: Lane::default(),
            round: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; networks take turns. `None` = too many attempts wait.
    pub(super) async fn take(&self, network: IpAddr, known: bool) -> Option<Turn> {
        let receiver = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn(self.clone()));
            }
            let lane = if known {
                &mut state.known
            } else {
                &mut state.others
            };
            lane.push(network)?
        };
        receiver.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Queues one attempt and says who it was when its turn comes.
    fn wait(
        turns: &Turns,
        network: u8,
        known: bool,
        told: &tokio::sync::mpsc::UnboundedSender<u8>,
    ) -> tokio::task::JoinHandle<()> {
        let (turns, told) = (turns.clone(), told.clone());
        tokio::spawn(async move {
            let turn = turns.take(ip(network), known).await;
            if turn.is_some() {
                told.send(network).unwrap();
            }
        })
    }

    #[tokio::test]
    async fn a_network_with_many_waits_for_itself_and_the_known_go_first() {
        let turns = Turns::new(1);
        let busy = turns.take(ip(0), false).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for _ in 0..WAITING_OF_NETWORK {
            tasks.push(wait(&turns, 1, false, &told));
        }
        tokio::task::yield_now().await;
        tasks.push(wait(&turns, 2, false, &told));
        tasks.push(wait(&turns, 3, true, &told));
        tokio::task::yield_now().await;
        assert!(
            turns.take(ip(1), false).await.is_none(),
            "more of one network do not even wait"
        );
        drop(busy);
        let order: Vec<u8> = [heard.recv().await, heard.recv().await, heard.recv().await]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(order, [3, 1, 2]);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(turns.lock().free, 1);
    }

    #[tokio::test]
    async fn the_known_do_not_starve_the_others() {
        let turns = Turns::new(1);
        let busy = turns.take(ip(0), true).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks: Vec<_> = (0..20).map(|_| wait(&turns, 1, true, &told)).collect();
        tasks.push(wait(&turns, 2, false, &told));
        tokio::task::yield_now().await;
        drop(busy);
        let mut before = 0;
        while heard.recv().await != Some(2) {
            before += 1;
        }
        assert!(before < usize::from(ROUNDS), "{before}");
        for task in tasks {
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_gives_up_waiting_holds_nobody_up() {
        let turns = Turns::new(1);
        let busy = turns.take(ip(0), false).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let gone: Vec<_> = (0..20).map(|_| wait(&turns, 1, false, &told)).collect();
        tokio::task::yield_now().await;
        for task in &gone {
            task.abort();
        }
        for task in gone {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        let stays = wait(&turns, 1, false, &told);
        tokio::task::yield_now().await;
        drop(busy);
        assert_eq!(heard.recv().await, Some(1));
        stays.await.unwrap();
        assert_eq!(turns.lock().free, 1);
    }
}
