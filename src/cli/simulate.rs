//! `outgate simulate`: the detector in a made-up world, beside simpler ones.

use super::ConfigFile;
use super::offline::{self, OfflineError};
use crate::config::Settings;
use crate::config::tuning;
use crate::lab::train::Recipe;
use crate::lab::world::attack::AttackKind;
use crate::lab::world::content::WorldContent;
use crate::lab::world::drawn::{DrawnWorld, WorldKind};
use crate::lab::world::events::Events;
use crate::lab::world::goals::GoalTable;
use crate::lab::world::law::ScoreLaw;
use crate::lab::world::people::Quality;
use crate::lab::world::{self, SimulationPlan, mailbag};
use crate::replay::reader;
use clap::Args;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Configuration; without it the detector alone decides, with its defaults.
    #[command(flatten)]
    file: ConfigFile,
    /// Which worlds: `drawn` draws each from its seed, `standard` is the fixed one.
    #[arg(long, default_value = "drawn", value_parser = world_kind)]
    world: WorldKind,
    /// Tell what each drawn world is like.
    #[arg(long)]
    worlds: bool,
    /// Seeds, one or a range; 1-99 are for development.
    #[arg(long, default_value = "1-20", value_parser = seeds)]
    seeds: Seeds,
    /// Sender-days of ordinary mail, over all seeds (whole tenants).
    #[arg(long, default_value_t = 1_000_000)]
    sender_days: u64,
    /// Days of each tenant before the attacks; without it as many as its world says.
    #[arg(long, value_parser = clap::value_parser!(i64).range(11..=1000))]
    days: Option<i64>,
    /// Campaigns of each attack, over all seeds.
    #[arg(long, default_value_t = 2000)]
    campaigns: u64,
    /// Points of the classifier's quality, TPR/FPR, instead of the law of scores of each world.
    #[arg(long, value_delimiter = ',', value_parser = quality)]
    grid: Vec<Quality>,
    /// Attacks to run; all if left out.
    #[arg(long, value_delimiter = ',', value_parser = attack)]
    attacks: Vec<AttackKind>,
    /// Small tenants of several kinds in their first five days instead, and attacks among their
    /// first 50 to 450 messages.
    #[arg(long, conflicts_with_all = ["days", "events"])]
    cold: bool,
    /// The attacks use accounts that never sent before.
    #[arg(long, conflicts_with = "events")]
    newcomers: bool,
    /// Run the simple detectors beside ours.
    #[arg(long)]
    references: bool,
    /// Leave out this kind of evidence, or this rule; several one after the other make several
    /// tables.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(tuning::KINDS))]
    without: Vec<String>,
    /// Tell every false block and hold with its proof.
    #[arg(long)]
    cases: bool,
    /// Real mail instead of drawn scores: corpora, or folders of them, with an `index` of lines `spam
    /// PATH` or `ham PATH`. Models are trained anew, each without one source of spam and one of ham,
    /// and score those. Tables for the models as they come, and adapted to half of each tenant's
    /// mail.
    #[arg(
        long,
        visible_alias = "corpora",
        value_name = "DIR",
        value_delimiter = ',',
        num_args = 1..,
        conflicts_with = "grid"
    )]
    mail: Vec<PathBuf>,
    /// With --mail: folder of the seed grammar, which the models are trained on too.
    #[arg(long, value_name = "DIR", default_value = "models/seed")]
    seed_files: PathBuf,
    /// Score real mail by this one model instead: it must not have been trained on --mail.
    #[arg(long, value_name = "FILE", requires = "mail")]
    model: Option<PathBuf>,
    /// Also write the ordinary mail as events for `outgate replay`, and behind it one campaign of
    /// each attack.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// Seeds from the first to the last.
#[derive(Debug, Clone, Copy)]
struct Seeds(u64, u64);

/// What an argument has to be instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum ArgumentError {
    #[error("write one seed or a range, such as 1-20")]
    Seeds,
    #[error("write TPR/FPR, such as .98/.001")]
    Pair,
    #[error("TPR and FPR are shares, the first larger than the second")]
    Shares,
    #[error("one of drawn, standard")]
    World,
    #[error("one of {}", AttackKind::ALL.map(AttackKind::name).join(", "))]
    Attack,
}

fn seeds(text: &str) -> Result<Seeds, ArgumentError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last && last - first < 1000 => Ok(Seeds(first, last)),
        _ => Err(ArgumentError::Seeds),
    }
}

fn quality(text: &str) -> Result<Quality, ArgumentError> {
    let (tpr, fpr) = text.split_once('/').ok_or(ArgumentError::Pair)?;
    match (tpr.parse(), fpr.parse()) {
        (Ok(tpr), Ok(fpr)) if 0.0 < fpr && fpr < tpr && tpr < 1.0 => Ok(Quality { tpr, fpr }),
        _ => Err(ArgumentError::Shares),
    }
}

fn world_kind(text: &str) -> Result<WorldKind, ArgumentError> {
    match text {
        "drawn" => Ok(WorldKind::Drawn),
        "standard" => Ok(WorldKind::Standard),
        _ => Err(ArgumentError::World),
    }
}

fn attack(text: &str) -> Result<AttackKind, ArgumentError> {
    let mut all = AttackKind::ALL.into_iter();
    all.find(|k| k.name() == text).ok_or(ArgumentError::Attack)
}

/// Runs the command. Exit 1 if the output could not be written; 2 for a bad configuration.
pub(crate) fn run(args: &SimulateArgs) -> ExitCode {
    let settings = match &args.file.config {
        Some(path) => match crate::config::load(Some(path)) {
            Ok(settings) => settings,
            Err(why) => return super::Failure::from(why).exit(),
        },
        None => reader::detector_alone(),
    };
    match simulate(args, &Arc::new(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(OfflineError::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(e) => super::fail(1, &e.to_string()),
    }
}

/// What the mail of one table says, and how it is called.
type Titled = (String, Vec<WorldContent>);

fn contents(args: &SimulateArgs) -> Result<Vec<Titled>, OfflineError> {
    if args.mail.is_empty() {
        if args.grid.is_empty() {
            return Ok(vec![("Scores as each world says".to_owned(), Vec::new())]);
        }
        let drawn = |q: &Quality| {
            (
                format!("TPR {} / FPR {}", q.tpr, q.fpr),
                vec![WorldContent::Drawn(ScoreLaw::two_points(*q))],
            )
        };
        return Ok(args.grid.iter().map(drawn).collect());
    }
    let scored = match &args.model {
        Some(path) => mailbag::load(&args.mail, offline::scorer(path)?)?,
        None => mailbag::load_left_out(&args.mail, Some(&args.seed_files), &Recipe::default())?,
    };
    let titled = |how: &str, contents: Vec<WorldContent>| {
        let of = |content: &WorldContent| {
            if let WorldContent::Real(pool) = content {
                format!("\n{}", pool.summary())
            } else {
                String::new()
            }
        };
        (
            format!(
                "Real mail, {how}{}\n",
                contents.iter().map(of).collect::<String>()
            ),
            contents,
        )
    };
    Ok(vec![
        titled("cold", scored.cold),
        titled("adapted", scored.adapted),
    ])
}

fn simulate(args: &SimulateArgs, settings: &Arc<Settings>) -> Result<(), OfflineError> {
    let contents = contents(args)?;
    if args.without.is_empty() {
        return Ok(tables(args, settings, &contents, "")?);
    }
    for kind in &args.without {
        let Some(detector) = settings.detector.without(kind) else {
            continue;
        };
        let settings = Arc::new(Settings {
            detector,
            ..Settings::clone(settings)
        });
        tables(args, &settings, &contents, &format!(" without {kind}"))?;
    }
    Ok(())
}

/// A table for each kind of content.
fn tables(
    args: &SimulateArgs,
    settings: &Arc<Settings>,
    contents: &[Titled],
    how: &str,
) -> std::io::Result<()> {
    let Seeds(first, last) = args.seeds;
    let seeds = last - first + 1;
    let mut file = args
        .events
        .as_ref()
        .map(File::create)
        .transpose()?
        .map(BufWriter::new);
    let mut events = file.as_mut().map(|f| Events::new(f));
    for (title, contents) in contents {
        let plan = SimulationPlan {
            seeds: (first..=last).collect(),
            world: args.world,
            days: args.days,
            sender_days: args.sender_days / seeds,
            campaigns: args.campaigns.div_ceil(seeds),
            contents: contents.clone(),
            references: args.references,
            cases: args.cases,
            cold: args.cold,
            newcomers: args.newcomers,
            attacks: if args.attacks.is_empty() {
                AttackKind::ALL.to_vec()
            } else {
                args.attacks.clone()
            },
        };
        let reports = world::run(settings, &plan, events.as_mut());
        let goals = if args.mail.is_empty() {
            GoalTable::Drawn
        } else {
            GoalTable::RealMail
        };
        let mut out = std::io::stdout().lock();
        let world = match args.world {
            WorldKind::Standard => "Standard world",
            WorldKind::Drawn => "Drawn worlds",
        };
        writeln!(out, "{world}, seeds {first}-{last}{how}. {title}\n")?;
        if args.worlds && args.world == WorldKind::Drawn {
            for seed in first..=last {
                writeln!(out, "world {seed}: {}", DrawnWorld::drawn(seed).summary())?;
            }
            writeln!(out)?;
        }
        writeln!(
            out,
            "{}\nAll worlds together\n\n{}",
            reports.text(goals),
            reports.together().text(args.references)
        )?;
    }
    events.map_or(Ok(()), Events::finish)
}
