//! Cost of scoring, parse included, on messages made here.

use divan::Bencher;
use outgate::exports::Scorer;

fn main() {
    divan::main();
}

/// Text of about `octets`, different words all along.
fn prose(octets: usize) -> String {
    const WORDS: [&str; 24] = [
        "meeting", "the", "report", "of", "invoice", "we", "please", "schedule", "and", "account",
        "to", "customer", "delivery", "a", "quarter", "for", "budget", "in", "project", "with",
        "review", "is", "contract", "number",
    ];
    let (mut text, mut state) = (String::new(), 7_u64);
    while text.len() < octets {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize;
        text.push_str(WORDS.get(at % WORDS.len()).copied().unwrap_or_default());
        text.push_str(
            ["", "s", "ed", "ing", "er"]
                .get(at / 24 % 5)
                .copied()
                .unwrap_or_default(),
        );
        text.push_str(if at.is_multiple_of(13) { ".\r\n" } else { " " });
    }
    text
}

const HEAD: &str = "From: Carol <carol@acme.example>\r\nTo: Bob <bob@partner.example>\r\nSubject: Budget for the next quarter\r\n\
    Message-ID: <1@acme.example>\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n";

fn plain(octets: usize) -> Vec<u8> {
    format!(
        "{HEAD}Content-Type: text/plain; charset=utf-8\r\n\r\n{}",
        prose(octets)
    )
    .into_bytes()
}

fn html(octets: usize) -> Vec<u8> {
    let body = prose(octets * 2 / 3).replace(
        ".\r\n",
        ".</p>\r\n<p style=\"margin:0\">see <a href=\"https://www.acme.example/a?b=1\">here</a> ",
    );
    let head = format!("{HEAD}Content-Type: multipart/alternative; boundary=bb\r\n\r\n");
    format!("{head}--bb\r\n\r\nshort\r\n--bb\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>{body}</p></body></html>\r\n--bb--\r\n")
        .into_bytes()
}

fn attachment(octets: usize) -> Vec<u8> {
    let head = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\n{}\r\n--bb\r\n",
        prose(2_000)
    );
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let base64 = line.repeat(octets / line.len());
    format!("{head}Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{base64}--bb--\r\n")
        .into_bytes()
}

fn run(bencher: Bencher<'_, '_>, message: &[u8]) {
    let scorer = Scorer::shipped().expect("the shipped model is sound");
    bencher
        .counter(divan::counter::BytesCount::new(message.len()))
        .bench_local(|| scorer.score(divan::black_box(message)));
}

#[divan::bench(args = [2_000, 10_000, 100_000])]
fn plain_text(bencher: Bencher<'_, '_>, octets: usize) {
    run(bencher, &plain(octets));
}

#[divan::bench(args = [10_000, 100_000])]
fn html_mail(bencher: Bencher<'_, '_>, octets: usize) {
    run(bencher, &html(octets));
}

#[divan::bench(args = [10_000_000, 50_000_000])]
fn large_attachment(bencher: Bencher<'_, '_>, octets: usize) {
    run(bencher, &attachment(octets));
}

/// Real messages of about 10 KB, one after the other; nothing where `OUTGATE_CORPORA` is not set.
#[divan::bench]
fn real_messages(bencher: Bencher<'_, '_>) {
    let messages = real();
    let scorer = Scorer::shipped().expect("the shipped model is sound");
    let mut turn = messages.iter().cycle();
    bencher.bench_local(|| {
        turn.next()
            .map(|message| scorer.score(divan::black_box(message)).llr)
    });
}

/// Every seventh message of 6-14 KB of the corpora.
fn real() -> Vec<Vec<u8>> {
    let Some(root) = std::env::var_os("OUTGATE_CORPORA").map(std::path::PathBuf::from) else {
        return Vec::new();
    };
    let names = [
        "spamassassin",
        "cwl_email_corpus",
        "foff_milter_old",
        "enron_business",
        "developer_list",
    ];
    let lists = names
        .iter()
        .filter_map(|name| outgate::exports::corpus_index(&root.join(name)).ok());
    let paths = lists.flat_map(|list| list.into_iter().step_by(7).map(|(_, path)| path));
    paths
        .filter_map(|path| std::fs::read(path).ok())
        .filter(|message| (6_000..14_000).contains(&message.len()))
        .collect()
}

#[divan::bench(args = [10_000_000])]
fn large_text(bencher: Bencher<'_, '_>, octets: usize) {
    run(bencher, &plain(octets));
}

#[divan::bench]
fn nested_multiparts(bencher: Bencher<'_, '_>) {
    let bomb: String = (0..20_000)
        .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"))
        .collect();
    run(bencher, bomb.as_bytes());
}
