//! End to end over loopback: generator → relay → sink, and generator → Postfix → sink on the same
//! load in the same run.
//!
//! `cargo bench --bench relay -- [--messages N] [--sessions N] [--runs N] [--dir PATH] [--scenario
//! TEXT] [--no-postfix] [--no-outgate]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its report is all it is for"
)]

mod corpus;
mod generator;
mod outgate;
mod postfix;
mod process;
mod report;
mod sink;

use corpus::Corpus;
use generator::Load;
use outgate::Outgate;
use postfix::Postfix;
use report::{Row, Run};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages before the clock runs, so that caches are filled and connections open.
const WARM_UP: usize = 100;
/// Longest time in which no message arrives at the sink.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for.
struct Options {
    messages: usize,
    sessions: usize,
    runs: usize,
    dir: Option<PathBuf>,
    scenario: String,
    outgate: bool,
    postfix: bool,
}

struct Scenario {
    name: String,
    messages: usize,
    sessions: usize,
    one_per_connection: bool,
    corpus: Arc<Corpus>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        messages: 4000,
        sessions: 20,
        runs: 3,
        dir: None,
        scenario: String::new(),
        outgate: true,
        postfix: true,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| {
            text.parse::<usize>()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("{text} is no number above 0"))
        };
        match arg.as_str() {
            "--messages" => options.messages = number(value()?)?,
            "--sessions" => options.sessions = number(value()?)?,
            "--runs" => options.runs = number(value()?)?,
            "--dir" => options.dir = Some(PathBuf::from(value()?)),
            "--scenario" => options.scenario = value()?,
            "--no-outgate" => options.outgate = false,
            "--no-postfix" => options.postfix = false,
            // cargo bench passes this on.
            "--bench" => {}
            other => return Err(format!("{other} is not known; see benches/relay/main.rs")),
        }
    }
    Ok(options)
}

fn scenarios(o: &Options) -> Vec<Scenario> {
    let (ten, hundred) = (
        Arc::new(Corpus::new(10 << 10)),
        Arc::new(Corpus::new(100 << 10)),
    );
    let one = |name: &str, messages, sessions, one_per_connection, corpus: &Arc<Corpus>| Scenario {
        name: format!("{name}, {sessions} sessions"),
        messages,
        sessions,
        one_per_connection,
        corpus: Arc::clone(corpus),
    };
    let mut all = vec![
        one(
            "10 KB, many a connection",
            o.messages,
            o.sessions,
            false,
            &ten,
        ),
        one(
            "10 KB, one a connection",
            o.messages,
            o.sessions,
            true,
            &ten,
        ),
        one("10 KB, many", o.messages, 500, false, &ten),
        one(
            "100 KB, many",
            (o.messages / 4).max(1),
            o.sessions,
            false,
            &hundred,
        ),
    ];
    all.retain(|s| s.name.contains(&o.scenario));
    all
}

fn main() -> std::process::ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(bench()));
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<(), String> {
    let options = options()?;
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let use_postfix = options.postfix
        && match postfix::missing() {
            None => true,
            Some(why) => {
                println!("Postfix is left out: {why}.");
                false
            }
        };
    println!(
        "disk: {}, {:.0} fdatasync/s of 10 KB, one after another",
        dir.display(),
        raw_syncs(&dir)?
    );
    let mut rows = Vec::new();
    for scenario in scenarios(&options) {
        let octets = scenario
            .corpus
            .message(0, 0, "a@b.example", "c@d.example")
            .len();
        println!(
            "{}: {} messages of about {octets} octets, {} runs",
            scenario.name, scenario.messages, options.runs
        );
        let straight = through_nothing(&scenario).await?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            if options.outgate {
                ours.push(through_outgate(&scenario, &dir).await?);
            }
            if use_postfix {
                theirs.push(through_postfix(&scenario, &dir).await?);
            }
        }
        let row = Row {
            scenario: scenario.name,
            straight: Some(straight),
            outgate: report::median(&ours),
            postfix: report::median(&theirs),
        };
        println!("{}", report::table(std::slice::from_ref(&row)));
        rows.push(row);
    }
    println!(
        "Medians of {} interleaved runs. Postfix is a null filter: one sync a message by design, no scoring.\n",
        options.runs
    );
    println!("{}", report::table(&rows));
    Ok(())
}

/// How many syncs the disk does in a second, as a measure for what follows.
fn raw_syncs(dir: &Path) -> Result<f64, String> {
    const ROUNDS: u32 = 50;
    let mut file = tempfile::tempfile_in(dir)
        .map_err(|e| format!("{} cannot be written: {e}", dir.display()))?;
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&[0u8; 10 << 10])
            .and_then(|()| file.sync_data())
            .map_err(|e| e.to_string())?;
    }
    Ok(f64::from(ROUNDS) / begin.elapsed().as_secs_f64())
}

fn load(scenario: &Scenario, target: SocketAddr) -> Load {
    // Different in every run, so that no relay takes a message for one it knows.
    let run = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| {
        u64::try_from(d.as_nanos() & 0xffff_ffff_ffff).unwrap_or(0)
    });
    Load {
        target,
        messages: scenario.messages,
        sessions: scenario.sessions,
        one_per_connection: scenario.one_per_connection,
        corpus: Arc::clone(&scenario.corpus),
        run,
    }
}

/// Sends a few messages first, then the load; gives the run and the number of messages measured.
async fn measure(
    scenario: &Scenario,
    target: SocketAddr,
    counter: &sink::Counter,
    before: impl AsyncFn() -> Result<(), String>,
) -> Result<Run, String> {
    let warm = generator::send(Load {
        messages: WARM_UP,
        sessions: 10,
        ..load(scenario, target)
    })
    .await?;
    counter.wait_for(warm.accepted as u64, PATIENCE).await?;
    before().await?;
    let arrived = counter.messages();
    let begin = Instant::now();
    let sent = generator::send(load(scenario, target)).await?;
    counter
        .wait_for(arrived + sent.accepted as u64, PATIENCE)
        .await?;
    let run = Run::new(&sent, begin.elapsed());
    if let Some(refusal) = sent.first_refusal {
        println!("  {} refused, the first: {refusal}", sent.refused);
    }
    Ok(run)
}

async fn through_nothing(scenario: &Scenario) -> Result<Run, String> {
    let (address, counter) = sink::start().await?;
    measure(scenario, address, &counter, async || Ok(())).await
}

async fn through_outgate(scenario: &Scenario, dir: &Path) -> Result<Run, String> {
    let dir = tempfile::Builder::new()
        .prefix("outgate-bench")
        .tempdir_in(dir)
        .map_err(|e| e.to_string())?;
    let (sink, counter) = sink::start().await?;
    let relay = Outgate::start(dir.path(), sink).await?;
    let start = std::cell::Cell::new((Duration::ZERO, 0));
    let measured = measure(scenario, relay.smtp, &counter, async || {
        start.set((relay.cpu(), relay.syncs().await?));
        Ok(())
    });
    let mut run = measured.await.map_err(|e| relay.with_log(&e))?;
    let (cpu, syncs) = start.get();
    let messages = scenario.messages as f64;
    run.cpu = Some(relay.cpu().saturating_sub(cpu).as_secs_f64() * 1000.0 / messages);
    run.syncs = Some(relay.syncs().await?.saturating_sub(syncs) as f64 / messages);
    run.memory = Some(relay.peak_memory());
    relay.stop().await?;
    println!("  outgate {:.0}/s", run.delivered_rate);
    Ok(run)
}

async fn through_postfix(scenario: &Scenario, dir: &Path) -> Result<Run, String> {
    let dir = tempfile::Builder::new()
        .prefix("postfix-bench")
        .tempdir_in(dir)
        .map_err(|e| e.to_string())?;
    let (sink, counter) = sink::start().await?;
    let relay = Postfix::start(dir.path(), sink, scenario.sessions).await?;
    let start = std::cell::Cell::new(Duration::ZERO);
    let measured = measure(scenario, relay.smtp, &counter, async || {
        start.set(relay.cpu());
        Ok(())
    })
    .await;
    let cpu = relay.cpu().saturating_sub(start.get());
    let memory = relay.memory();
    relay.stop().await?;
    let mut run = measured?;
    run.cpu = Some(cpu.as_secs_f64() * 1000.0 / scenario.messages as f64);
    run.syncs = Some(1.0);
    run.memory = Some(memory);
    println!("  postfix {:.0}/s", run.delivered_rate);
    Ok(run)
}
