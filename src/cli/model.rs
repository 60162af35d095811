//! `outgate model train|eval|render`.

use super::offline::{self, OfflineError};
use super::render::{self, RenderArgs};
use crate::lab::build;
use crate::lab::corpus;
use crate::lab::eval::{self, Figures, Ratios};
use crate::lab::held_out::{Left, Library};
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
    /// Folder that holds corpora, one folder each with an `index` file; may be given several times.
    #[arg(long, value_name = "DIR", required = true)]
    corpora: Vec<PathBuf>,
    /// The model file to write; the manifest is written beside it as `.json`.
    #[arg(long, value_name = "FILE", default_value = "models/outgate.model")]
    out: PathBuf,
    /// Date for the manifest (kept out of the clock, so that the file is reproducible).
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: String,
}

#[derive(Debug, Args)]
struct EvalArgs {
    /// Corpus folders to judge a model file on, each with an `index` file of lines `spam|ham PATH`.
    #[arg(value_name = "CORPUS_DIR", required_unless_present = "corpora")]
    judged: Vec<PathBuf>,
    /// Judge this model file instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Judge the recipe: folders that hold corpora, as for training. Models are trained anew without
    /// one source of spam and one of ham, and judged on those.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["judged", "model"])]
    corpora: Vec<PathBuf>,
    /// With `--corpora`: a corpus that nothing was trained or tuned on, to judge the whole model.
    #[arg(long, value_name = "CORPUS_DIR", requires = "corpora")]
    blind: Option<PathBuf>,
    /// With `--corpora`: let each model learn the mail of the ham that it did not see: what adaptation is
    /// worth.
    #[arg(long, requires = "corpora")]
    adapt: bool,
    /// With `--adapt`: judge the spam once more with 150 words of ham behind it.
    #[arg(long, requires = "adapt")]
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
    let (corpora, items) = corpus::load(&corpus::folders(&args.corpora)?)?;
    let library = Library {
        corpora: &corpora,
        items: &items,
    };
    let recipe = recipe();
    let pairs = library.pairs(&recipe);
    let model = build::build(&library, Left::default(), &pairs, &recipe, &args.date);
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
            serde_json::json!({
                "slope": model.calibration.slope, "offset": model.calibration.offset,
                "even": model.calibration.even, "open": model.calibration.open,
            }),
        );
    }
    let text = serde_json::to_string_pretty(&manifest)?;
    write(
        &args.out.with_extension("json"),
        format!("{text}\n").as_bytes(),
    )
}

fn recipe() -> Recipe {
    std::env::var("RECIPE")
        .ok()
        .and_then(|r| serde_json::from_str(&r).ok())
        .unwrap_or_default()
}

fn evaluate(args: &EvalArgs) -> Result<(), OfflineError> {
    let figures = if args.corpora.is_empty() {
        judge(args)?
    } else {
        judge_recipe(args)?
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

/// The recipe on sources that its models did not see.
fn judge_recipe(args: &EvalArgs) -> Result<Vec<Figures>, OfflineError> {
    let mut folders = corpus::folders(&args.corpora)?;
    folders.extend(args.blind.clone());
    let (corpora, items) = corpus::load(&folders)?;
    let library = Library {
        corpora: &corpora,
        items: &items,
    };
    if let Ok(file) = std::env::var("EXPERIMENTS") {
        for line in std::fs::read_to_string(file)?.lines() {
            let v: serde_json::Value = serde_json::from_str(line)?;
            let recipe: Recipe =
                serde_json::from_value(v.get("recipe").cloned().unwrap_or(serde_json::json!({})))?;
            *crate::lab::sources::OVER.lock().unwrap() =
                serde_json::from_value(v.get("sources").cloned().unwrap_or(serde_json::json!({})))?;
            let t = std::time::Instant::now();
            let pairs = library.pairs(&recipe);
            let rows = eval::of_pairs(&pairs);
            let [(mean, worst), _] = eval::mean_and_worst(&rows);
            let dev: Vec<String> = rows
                .iter()
                .map(|r| format!("{:.0}", r.caught_at_1))
                .collect();
            let mut o = format!("mean {mean:.1} worst {worst:.1} [{}]", dev.join(" "));
            for r in eval::whole_model(&library, &pairs, Some("trec"), &recipe) {
                o += &if r.spam == "blind" {
                    format!(
                        " | trec {:.2} {:.1} {:.1} odds {:.2}/{:.1} ece {:.1}",
                        r.one_minus_auc_percent,
                        r.caught_at_0_1,
                        r.caught_at_1,
                        r.false_positives_at_half,
                        r.caught_at_half,
                        r.calibration_error
                    )
                } else {
                    format!(" | {} {:.2}", r.ham, r.false_positives_at_half)
                };
            }
            println!("{}\n   {o} | {:.0}s", line, t.elapsed().as_secs_f64());
        }
        return Ok(Vec::new());
    }
    let recipe = recipe();
    let pairs = library.pairs(&recipe);
    if args.adapt {
        let padded = if args.padded {
            corpus::padded_spam(&folders)?
        } else {
            Vec::new()
        };
        return Ok(protocols::adapted(&library, &pairs, &padded, &recipe));
    }
    let mut rows = eval::of_pairs(&pairs);
    let blind = args.blind.as_ref().and_then(|folder| folder.file_name());
    rows.extend(eval::whole_model(
        &library,
        &pairs,
        blind.map(|n| n.to_string_lossy()).as_deref(),
        &recipe,
    ));
    Ok(rows)
}

/// The given model on the given corpora: each corpus' ham against all their spam.
fn judge(args: &EvalArgs) -> Result<Vec<Figures>, OfflineError> {
    let scorer = match &args.model {
        Some(path) => Model::from_bytes(&offline::read(path)?).map(Scorer::new),
        None => Scorer::shipped(),
    }?;
    let (mut spam, mut hams) = (Vec::new(), Vec::new());
    let mut extractor = Extractor::default();
    for folder in &args.judged {
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

const HEADING: &str = "ham of               spam of, or protocol    ham  spam  (1-AUC)%  FP@.5%  caught@.5%  @0.1%FP (95 % interval)  \
                       @0.5%FP  @1%FP (95 % interval)  priors@1%  calib.err%";

fn row(f: &Figures) -> String {
    let [ham, spam] = f.messages;
    let interval = |[low, high]: [f64; 2]| format!("({low:>5.1}-{high:>5.1})");
    format!(
        "{:<20} {:<21} {ham:>5} {spam:>5}  {:>8.3}  {:>6.2}  {:>10.1}  {:>7.1} {}   {:>7.1}  {:>5.1} {}  {:>9.1}  {:>10.1}",
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
        f.untrained_at_1,
        f.calibration_error
    )
}
