//! `outgate model train|eval|render`.

use super::offline::{self, OfflineError};
use super::render::{self, RenderArgs};
use crate::lab::build::{self, TRAINABLE};
use crate::lab::corpus;
use crate::lab::eval::{self, Figures, Ratios};
use crate::lab::protocols;
use crate::lab::train::Recipe;
use crate::score::model::Model;
use crate::score::{Scorer, features::Extractor};
use clap::{Args, Subcommand};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Train the model that is built into the program.
    Train(TrainArgs),
    /// Print what a model is worth on indexed corpora.
    Eval(EvalArgs),
    /// Write messages of the seed grammar as a corpus.
    Render(RenderArgs),
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// Folder that holds the corpora, one folder each with an `index` file.
    #[arg(long, value_name = "DIR")]
    corpora: PathBuf,
    /// The model file to write; the manifest is written beside it as `.json`.
    #[arg(long, value_name = "FILE", default_value = "models/outgate.model")]
    out: PathBuf,
    /// Date for the manifest (kept out of the clock, so that the file is reproducible).
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: String,
}

#[derive(Debug, Args)]
struct EvalArgs {
    /// Corpus folders, each with an `index` file of lines `spam|ham PATH`.
    #[arg(required = true, value_name = "CORPUS_DIR")]
    corpora: Vec<PathBuf>,
    /// Judge this model file instead of the built-in one.
    #[arg(long, value_name = "FILE", conflicts_with = "leave_one_out")]
    model: Option<PathBuf>,
    /// Train anew for each corpus, without it: what the recipe is worth on mail it has never seen.
    #[arg(long)]
    leave_one_out: bool,
    /// Train anew for each corpus, without it, and let it learn its own mail: what adaptation is
    /// worth.
    #[arg(long, conflicts_with_all = ["model", "leave_one_out"])]
    adapt: bool,
    /// With `--leave-one-out` or `--adapt`: judge the spam once more with 150 words of ham behind
    /// it.
    #[arg(long, conflicts_with = "model")]
    padded: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Runs the command; problems go to standard error, exit 1.
pub(crate) fn run(args: &ModelArgs) -> ExitCode {
    let done = match &args.command {
        ModelCommand::Train(args) => train(args),
        ModelCommand::Eval(args) => evaluate(args),
        ModelCommand::Render(args) => render::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "outgate model: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn train(args: &TrainArgs) -> Result<(), OfflineError> {
    let folders: Vec<PathBuf> = TRAINABLE
        .iter()
        .map(|name| args.corpora.join(name))
        .collect();
    let (corpora, items) = corpus::load(&folders)?;
    let model = build::build(&corpora, &items, &Recipe::default(), &args.date);
    let file = model.to_bytes();
    Model::from_bytes(&file)?;
    let write =
        |path: &Path, octets: &[u8]| std::fs::write(path, octets).map_err(OfflineError::at(path));
    write(&args.out, &file)?;
    let mut manifest: serde_json::Value = serde_json::from_str(&model.manifest)?;
    if let Some(fields) = manifest.as_object_mut() {
        let sum: String = Sha256::digest(&file)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        fields.insert("sha256".into(), sum.into());
        fields.insert("octets".into(), file.len().into());
        fields.insert(
            "calibration".into(),
            serde_json::json!({"slope": model.slope, "offset": model.offset}),
        );
    }
    let text = serde_json::to_string_pretty(&manifest)?;
    write(
        &args.out.with_extension("json"),
        format!("{text}\n").as_bytes(),
    )
}

fn evaluate(args: &EvalArgs) -> Result<(), OfflineError> {
    let recipe = Recipe::default();
    let padded = || {
        if args.padded {
            corpus::padded_spam(&args.corpora)
        } else {
            Ok(Vec::new())
        }
    };
    let figures = if args.adapt {
        let (corpora, items) = corpus::load(&args.corpora)?;
        let mut rows = protocols::adapted(&corpora, &items, &padded()?, &recipe);
        rows.extend(protocols::online(&corpora, &items, &recipe));
        rows
    } else if args.leave_one_out {
        let (corpora, items) = corpus::load(&args.corpora)?;
        eval::leave_one_out(&corpora, &items, &padded()?, &recipe)
    } else {
        judge(args)?
    };
    let mut out = std::io::stdout().lock();
    let mut print = |line: String| writeln!(out, "{line}");
    if !args.json {
        print(HEADING.into())?;
    }
    for f in &figures {
        print(if args.json {
            serde_json::to_string(f)?
        } else {
            row(f)
        })?;
    }
    Ok(())
}

/// The given model on the given corpora: each corpus' ham against all their spam.
fn judge(args: &EvalArgs) -> Result<Vec<Figures>, OfflineError> {
    let scorer = match &args.model {
        Some(path) => Model::from_bytes(&offline::read(path)?).map(Scorer::new),
        None => Scorer::shipped(),
    }?;
    let (mut spam, mut hams) = (Vec::new(), Vec::new());
    let mut extractor = Extractor::default();
    for folder in &args.corpora {
        let mut ham = Vec::new();
        for (is_spam, path) in corpus::index(folder)? {
            let raw = offline::read(&path)?;
            extractor.extract(&raw);
            let llr = scorer.judge(&extractor, None).llr;
            if is_spam { &mut spam } else { &mut ham }.push(llr);
        }
        hams.push((
            folder
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            ham,
        ));
    }
    let with_ham = hams.into_iter().filter(|(_, ham)| !ham.is_empty());
    Ok(with_ham
        .map(|(name, ham)| {
            eval::figures(
                &name,
                "all given",
                &[Ratios {
                    ham,
                    spam: spam.clone(),
                }],
                spam.len(),
            )
        })
        .collect())
}

const HEADING: &str = "ham of           spam of, or protocol    ham  spam  (1-AUC)%  FP@.5%  caught@.5%  @0.1%FP (95 % interval)  \
                       @0.5%FP  @1%FP (95 % interval)  calib.err%";

fn row(f: &Figures) -> String {
    let [ham, spam] = f.messages;
    let interval = |[low, high]: [f64; 2]| format!("({low:>5.1}-{high:>5.1})");
    format!(
        "{:<16} {:<21} {ham:>5} {spam:>5}  {:>8.3}  {:>6.2}  {:>10.1}  {:>7.1} {}   {:>7.1}  {:>5.1} {}  {:>10.1}",
        f.ham,
        f.spam,
        f.one_minus_auc_percent,
        f.false_positives_at_half,
        f.caught_at_half,
        f.caught_at_0_1,
        interval(f.interval_at_0_1),
        f.caught_at_0_5,
        f.caught_at_1,
        interval(f.interval_at_1),
        f.calibration_error
    )
}
