//! `outgate model train|eval|render`.

use super::offline::{self, OfflineError};
use super::render::{self, RenderArgs};
use crate::lab::build;
use crate::lab::corpus::{self, Corpus, CorpusMessage};
use crate::lab::eval::{self, Figures, Ratios};
use crate::lab::grammar;
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
    /// Folder of the seed grammar, which is rendered and trained on too.
    #[arg(long, value_name = "DIR", default_value = "models/seed")]
    seed_files: PathBuf,
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
    /// With `--corpora`: folder of the seed grammar.
    #[arg(long, value_name = "DIR", default_value = "models/seed")]
    seed_files: PathBuf,
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

/// Messages of each template of the seed grammar.
const PER_TEMPLATE: usize = 8;

/// Reads corpora and renders the seed grammar.
fn load(
    folders: &[PathBuf],
    seed_files: &Path,
) -> Result<(Vec<Corpus>, Vec<CorpusMessage>), OfflineError> {
    let (mut corpora, mut items) = corpus::load(folders)?;
    let rendered = grammar::render(seed_files, 1, PER_TEMPLATE)?;
    corpus::add_seed(&mut corpora, &mut items, &rendered)?;
    Ok((corpora, items))
}

fn train(args: &TrainArgs) -> Result<(), OfflineError> {
    let (corpora, items) = load(&corpus::folders(&args.corpora)?, &args.seed_files)?;
    let library = Library {
        corpora: &corpora,
        items: &items,
    };
    let recipe = Recipe::default();
    let held_out = library.hold_out(&recipe);
    let model = build::build(&library, Left::default(), &held_out, &recipe, &args.date);
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
    if !args.corpora.is_empty() && !args.adapt && !args.json {
        let [(mean, worst), (prior_mean, prior_worst)] = eval::mean_and_worst(&figures);
        print(format!(
            "pairs @1%FP: mean {mean:.1}, worst {worst:.1}; priors: mean {prior_mean:.1}, worst {prior_worst:.1}"
        ))?;
    }
    Ok(())
}

/// The recipe on sources that its models did not see.
fn judge_recipe(args: &EvalArgs) -> Result<Vec<Figures>, OfflineError> {
    let mut folders = corpus::folders(&args.corpora)?;
    folders.extend(args.blind.clone());
    let (corpora, items) = load(&folders, &args.seed_files)?;
    let library = Library {
        corpora: &corpora,
        items: &items,
    };
    let recipe = Recipe::default();
    let held_out = library.hold_out(&recipe);
    if args.adapt {
        let padded = if args.padded {
            corpus::padded_spam(&folders)?
        } else {
            Vec::new()
        };
        return Ok(protocols::adapted(&library, &held_out, &padded, &recipe));
    }
    let mut rows = eval::of_pairs(&held_out);
    rows.extend(eval::of_rendered(&held_out));
    if let Some(blind) = args.blind.as_ref().and_then(|folder| folder.file_name()) {
        let model = eval::whole_model(&library, &held_out, &recipe);
        rows.push(eval::of_blind(&library, &blind.to_string_lossy(), &model));
    }
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
