//! Workloads that are cut at any operation, or crash and start again.

use super::*;

/// What the client side knows.
#[derive(Default, Clone)]
struct Truth {
    /// Answered with Ok and not done: must be there.
    live: BTreeSet<u64>,
    /// Done but perhaps not durably, or answered by a machine that was already dead: may be there.
    perhaps: BTreeSet<u64>,
    /// Must not be there: done durably, or refused.
    gone: BTreeSet<u64>,
    /// Acknowledged progress.
    progress: BTreeMap<u64, u32>,
}

impl Truth {
    fn check(&self, disk: &FakeDisk, what: &str) -> SpoolStore {
        let (store, found) = open(disk);
        let there: BTreeSet<u64> = ids(&found).into_iter().collect();
        let lost: Vec<_> = self.live.difference(&there).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}");
        let back: Vec<_> = there.intersection(&self.gone).collect();
        assert!(back.is_empty(), "{what}: came back {back:?}");
        for r in &found {
            assert!(
                self.live.contains(&r.id.0) || self.perhaps.contains(&r.id.0),
                "{what}: unknown {}",
                r.id.0
            );
            assert_eq!(read(&store, r.id.0), Ok(body(r.id.0, 1200)), "{what}");
            if let Some(known) = self.progress.get(&r.id.0) {
                let record = r
                    .progress
                    .as_ref()
                    .map(|p| String::from_utf8_lossy(p).parse::<u32>().expect("number"));
                assert!(
                    record >= Some(*known),
                    "{what}: {} has {record:?}, knew {known}",
                    r.id.0
                );
            }
        }
        store
    }
}

/// One step of a workload.
#[derive(Debug, Clone, Copy)]
enum Step {
    Accept(u8),
    Done(u8),
    Progress(u8),
    ProgressLazy(u8),
    Sync,
    /// So many steps of cleaning.
    Clean(u8),
    FailSyncs(bool),
    FailWrites(bool),
}

struct Run {
    disk: FakeDisk,
    store: SpoolStore,
    truth: Truth,
    next_id: u64,
    next_progress: u32,
    undone: Vec<u64>,
}

impl Run {
    fn new(disk: FakeDisk, store: SpoolStore) -> Self {
        Self {
            disk,
            store,
            truth: Truth::default(),
            next_id: 1,
            next_progress: 1,
            undone: Vec::new(),
        }
    }

    fn pick(&self, n: u8) -> Option<u64> {
        let live: Vec<u64> = self.truth.live.iter().copied().collect();
        live.get(usize::from(n) % live.len().max(1)).copied()
    }

    /// Whatever was lazily done is durable now.
    fn durable(&mut self) {
        if self.store.is_synced() && !self.disk.is_struck() {
            for id in self.undone.drain(..) {
                self.truth.perhaps.remove(&id);
                self.truth.gone.insert(id);
            }
        }
    }

    /// Up to nine messages at once.
    fn accept(&mut self, n: u8) {
        let ids: Vec<u64> = (0..u64::from(n % 9) + 1)
            .map(|k| self.next_id + k)
            .collect();
        self.next_id += ids.len() as u64;
        for (id, answer) in ids.iter().zip(accept_all(&mut self.store, &ids, 1200)) {
            let bucket = match answer {
                Ok(()) => &mut self.truth.live,
                // A dead machine's answer is heard by nobody; a refusal whose mark is not on disk yet,
                // because the disk still fails, is as good as the disk lets it be.
                Err(_) if self.disk.is_struck() || !self.store.is_synced() => {
                    &mut self.truth.perhaps
                }
                Err(_) => &mut self.truth.gone,
            };
            bucket.insert(*id);
            if !self.truth.live.contains(id) && self.truth.perhaps.contains(id) {
                self.undone.push(*id);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Accept(n) => self.accept(n),
            Step::Done(n) => {
                // Most mail goes at once, some stays.
                let id = if n % 4 == 3 {
                    self.pick(n)
                } else {
                    self.truth.live.last().copied()
                };
                if let Some(id) = id {
                    done(&mut self.store, id);
                    self.truth.live.remove(&id);
                    self.truth.perhaps.insert(id);
                    self.undone.push(id);
                }
            }
            Step::Progress(n) => {
                if let Some(id) = self.pick(n) {
                    let number = self.next_progress;
                    self.next_progress += 1;
                    if progress(&mut self.store, id, &number.to_string()).is_ok() {
                        self.truth.progress.insert(id, number);
                    }
                }
            }
            Step::ProgressLazy(n) => {
                if let Some(id) = self.pick(n) {
                    progress_lazy(&mut self.store, id, &self.next_progress.to_string());
                    self.next_progress += 1;
                }
            }
            Step::Sync => self.store.sync_lazy(),
            Step::Clean(steps) => {
                self.store.sync_lazy();
                self.store.clean_not_before = None;
                for _ in 0..steps {
                    self.store.clean();
                }
            }
            Step::FailSyncs(fail) => {
                self.disk.failed_syncs_keep(self.next_id.is_multiple_of(2));
                self.disk.fail_syncs(fail);
            }
            Step::FailWrites(fail) => self.disk.fail_writes(fail),
        }
        self.durable();
    }
}

fn script() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..10u8 {
        steps.extend([
            Step::Accept(3),
            Step::Progress(round),
            Step::Done(round.wrapping_mul(5)),
            Step::Accept(8),
            Step::ProgressLazy(round + 1),
            Step::Done(1),
            Step::Done(2),
            Step::Done(4),
            Step::Done(7),
            Step::Done(7),
        ]);
        match round {
            4 => steps.extend([
                Step::FailSyncs(true),
                Step::Accept(2),
                Step::Done(3),
                Step::FailSyncs(false),
                Step::Accept(1),
            ]),
            6 => steps.extend([
                Step::FailWrites(true),
                Step::Accept(2),
                Step::Done(0),
                Step::FailWrites(false),
                Step::Accept(1),
            ]),
            _ => steps.push(Step::Clean(round % 3 * 3 + 1)),
        }
    }
    steps
}

#[test]
fn a_cut_after_any_operation_loses_nothing_that_was_acknowledged() {
    let whole = FakeDisk::default();
    let mut run = Run::new(whole.clone(), open(&whole).0);
    script().into_iter().for_each(|s| run.step(s));
    assert!(
        run.store.rewritten > 0 && whole.operations() > 200,
        "{}",
        whole.operations()
    );
    for cut in 0..=whole.operations() {
        let disk = FakeDisk::default();
        disk.cut_after(cut);
        let Ok((store, _)) = try_open(&disk) else {
            continue;
        };
        let mut run = Run::new(disk.clone(), store);
        for step in script() {
            if disk.is_struck() {
                break;
            }
            run.step(step);
        }
        let other = if cut % 3 == 0 {
            Unsynced::Kept
        } else {
            Unsynced::Some(cut)
        };
        for unsynced in [Unsynced::Lost, other] {
            let what = format!("cut after {cut}, {unsynced:?}");
            let disk = disk.after_crash(unsynced);
            let mut store = run.truth.check(&disk, &what);
            // Life goes on, and what ends now stays ended after another crash.
            let all: Vec<u64> = store.shared.index().iter().map(|(id, _)| id).collect();
            all.iter().for_each(|id| done(&mut store, *id));
            clean(&mut store);
            accept(&mut store, 1_000_000, 1200).expect("accept");
            assert_eq!(
                ids(&open(&disk.after_crash(Unsynced::Lost)).1),
                [1_000_000],
                "{what}"
            );
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Accept),
        12 => any::<u8>().prop_map(Step::Done),
        3 => any::<u8>().prop_map(Step::Progress),
        3 => any::<u8>().prop_map(Step::ProgressLazy),
        2 => Just(Step::Sync),
        5 => (0..9u8).prop_map(Step::Clean),
        1 => any::<bool>().prop_map(Step::FailSyncs),
        1 => any::<bool>().prop_map(Step::FailWrites),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_life_with_crashes_and_restarts_keeps_its_word(
        lives in proptest::collection::vec((proptest::collection::vec(any_step(), 1..80), any::<u64>(), 0..3u8), 1..4)
    ) {
        let disk = FakeDisk::default();
        let mut run = Run::new(disk.clone(), open(&disk).0);
        for (steps, seed, how) in lives {
            for step in steps {
                run.step(step);
            }
            run.disk.fail_syncs(false);
            run.disk.fail_writes(false);
            let unsynced = match how { 0 => Unsynced::Lost, 1 => Unsynced::Kept, _ => Unsynced::Some(seed) };
            let disk = run.disk.after_crash(unsynced);
            let store = run.truth.check(&disk, "life");
            // What may or may not have been there is known now.
            let there: BTreeSet<u64> = store.shared.index().iter().map(|(id, _)| id).collect();
            let mut truth = run.truth.clone();
            for id in std::mem::take(&mut truth.perhaps) {
                if there.contains(&id) { truth.live.insert(id) } else { truth.gone.insert(id) };
            }
            run = Run { truth, disk, store, undone: Vec::new(), ..run };
        }
    }
}
