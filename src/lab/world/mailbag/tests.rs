use super::*;
use crate::lab::boosting::Boosting;
use std::fs;

fn corpus(dir: &Path, name: &str, mails: &[(&str, String)]) {
    let folder = dir.join(name);
    fs::create_dir(&folder).expect("made");
    let mut index = String::new();
    for (at, (label, text)) in mails.iter().enumerate() {
        fs::write(folder.join(at.to_string()), text).expect("written");
        index += &format!("{label} {at}\n");
    }
    fs::write(folder.join("index"), index).expect("written");
}

fn letter(n: usize, author: usize, topic: &str) -> String {
    format!(
        "From: a{author}@acme.example\nSubject: Minutes {n}\n\nHello, the minutes of {topic} meeting {n} are in the \
         folder. Please read the part on the roof of house {author} before Thursday.\n"
    )
}

fn lure(n: usize, what: &str) -> String {
    format!(
        "From: a@b.example\nSubject: WINNER\n\nYou have WON ${n},000,000 in our {what}! Click here now and verify your \
         bank password!\n"
    )
}

fn offers(n: usize) -> (&'static str, String) {
    let text = format!(
        "From: news{}@shop.example\nSubject: Offers\n\nOffers of week {n}. Unsubscribe below.\n",
        n % 4
    );
    ("ham", text)
}

fn only(contents: &[WorldContent]) -> &ScoredMail {
    let [WorldContent::Real(mail)] = contents else {
        panic!("one tenant")
    };
    mail
}

#[test]
fn authors_lend_their_voices_and_the_learned_half_is_not_sent() {
    let dir = tempfile::tempdir().expect("directory");
    let mut mails: Vec<(&str, String)> = (0..TENANT_HAM)
        .map(|n| ("ham", letter(n, n % 100, "the")))
        .collect();
    mails.extend((0..40).map(offers));
    corpus(dir.path(), "house", &mails);
    corpus(dir.path(), "lures", &[("spam", lure(1, "lottery"))]);
    let scorer = || Scorer::shipped().expect("the model");
    let scored = load(&[dir.path().to_owned()], scorer()).expect("read");
    let (cold, adapted) = (only(&scored.cold), only(&scored.adapted));
    let summary = cold.summary();
    assert!(
        summary.contains("100 authors")
            && summary.contains("4 newsletters")
            && summary.contains("1 campaigns"),
        "{summary}"
    );
    let [alone, learned] = [cold, adapted].map(|mail| mail.mean_of_persons());
    assert_eq!((alone.1, learned.1), (500, 500), "half of ten of each");
    assert!(learned.0 < alone.0 - 0.1, "{learned:?} {alone:?}");
    let copies = cold.copies();
    assert_eq!(copies.len(), VARIANTS);
    assert!(copies.iter().all(|text| text.llr > 0.0), "{copies:?}");
    let error = load(&[dir.path().join("lures")], scorer())
        .err()
        .expect("no tenant");
    assert!(error.to_string().contains("ham"), "{error}");
}

/// Two sources of spam and two of ham, small newsletters and applications beside them.
fn small_library(dir: &Path) {
    let ham = |topic: &str| -> Vec<(&'static str, String)> {
        (0..60).map(|n| ("ham", letter(n, n % 3, topic))).collect()
    };
    let spam = |what: &str| -> Vec<(&'static str, String)> {
        (0..12).map(|n| ("spam", lure(n, what))).collect()
    };
    let mut both = ham("list");
    both.extend(spam("lottery"));
    corpus(dir, "spamassassin", &both);
    corpus(dir, "enron_business", &ham("trading"));
    corpus(dir, "cwl_email_corpus", &spam("fund"));
    for project in ["a_mails", "b_mails", "c_mails"] {
        let mails: Vec<_> = (0..6).map(|n| ("ham", letter(n, n, project))).collect();
        corpus(dir, project, &mails);
    }
    corpus(dir, "news_x", &(0..8).map(offers).collect::<Vec<_>>());
}

fn quick() -> Recipe {
    Recipe {
        passes: 1,
        boosting: Boosting {
            trees: 2,
            ..Boosting::default()
        },
        ..Recipe::default()
    }
}

#[test]
fn no_model_is_asked_about_a_source_that_it_saw() {
    let dir = tempfile::tempdir().expect("directory");
    small_library(dir.path());
    let given = [dir.path().to_owned()];
    let folders = shelf::folders(&given).expect("found");
    let shelf = Shelf::of(&folders).expect("read");
    let judges = left_out::judges(&folders, &shelf, None, &quick()).expect("trained");
    assert_eq!(judges.len(), 4, "two sources of spam times two of ham");
    let place = |name: &str| shelf.place(name).expect("it is there");
    let (projects, mut halves) = (
        ["a_mails", "b_mails", "c_mails", "news_x"].map(place),
        Vec::new(),
    );
    for judge in &judges {
        assert!(!judge.seen.is_empty());
        for (source, spam) in judge
            .spam
            .iter()
            .map(|place| (*place, true))
            .chain(judge.others.iter().map(|place| (*place, false)))
            .chain([(judge.ham, false)])
        {
            assert!(judge.may_judge(source, spam), "{source} {spam}: {judge:?}");
        }
        // The other spam and the other ham taught it, and half of the projects.
        let spams = [place("spamassassin"), place("cwl_email_corpus")];
        let other = spams
            .into_iter()
            .find(|s| !judge.spam.contains(s))
            .expect("two");
        assert!(judge.seen.contains(&(other, true)) && !judge.may_judge(other, true));
        let hams = [place("spamassassin"), place("enron_business")];
        let other = hams.into_iter().find(|h| *h != judge.ham).expect("two");
        assert!(judge.seen.contains(&(other, false)));
        let unseen: Vec<usize> = projects
            .into_iter()
            .filter(|p| judge.others.contains(p))
            .collect();
        assert_eq!(unseen.len(), 2, "{judge:?}");
        assert!(
            projects
                .iter()
                .all(|p| unseen.contains(p) != judge.seen.contains(&(*p, false)))
        );
        halves.push(unseen);
    }
    halves.sort();
    halves.dedup();
    assert_eq!(halves.len(), 2, "either half is judged by some model");
    // A question about a source that was seen is not answered.
    let mut wrong = judges.clone();
    wrong.iter_mut().for_each(|judge| {
        judge.spam = (0..shelf.names.len()).collect();
        judge.others.clone_from(&judge.spam);
    });
    let [right, wrong] = [&judges, &wrong].map(|judges| score(&shelf, judges).expect("scored"));
    assert_eq!(right.cold.len(), 4);
    for (right, wrong) in right.cold.iter().zip(&wrong.cold) {
        let (WorldContent::Real(right), WorldContent::Real(wrong)) = (right, wrong) else {
            panic!("real mail")
        };
        assert_eq!(right.copies(), wrong.copies());
        assert_eq!(right.mean_of_persons(), wrong.mean_of_persons());
    }
}

#[test]
fn too_few_sources_are_told() {
    let dir = tempfile::tempdir().expect("directory");
    let mails: Vec<_> = (0..20).map(|n| ("ham", letter(n, n, "the"))).collect();
    corpus(dir.path(), "spamassassin", &mails);
    let why = load_left_out(&[dir.path().to_owned()], None, &quick())
        .err()
        .expect("one source");
    assert!(why.to_string().contains("two of each"), "{why}");
}
