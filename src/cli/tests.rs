use super::*;
use crate::admin::tests::{Site, settings};
use crate::api::{BlockItem, MessageItem, Page, QueueItem};
use clap::CommandFactory;
use serde_json::json;

mod lists;
mod records;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

async fn does(line: &str) -> Result<String, Failure> {
    let CliCommand::Admin(command) = parse(line).expect("a good command").command else {
        panic!("{line} is no admin command")
    };
    commands::run(command, load).await
}

/// The path given with `--config` is the data directory.
fn load(path: Option<&Path>) -> Result<Settings, SettingsError> {
    path.map(settings)
        .ok_or_else(|| SettingsError::TooLarge("c.toml".into(), 9))
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    let lines = [
        "outgate serve",
        "outgate serve --config f.toml",
        "outgate demo",
        "outgate config check --config f.toml",
        "outgate config show",
        "outgate blocks list --json --state active --limit 5",
        "outgate blocks show OG-0123456789",
        "outgate blocks add sender alice@acme.example --reason spam --until 2026-11-22T14:00:00Z",
        "outgate blocks release OG-0123456789 --verdict mistake --reason checked",
        "outgate senders list --standing blocked --url http://127.0.0.1:1 --token t",
        "outgate senders show alice@acme.example --json",
        "outgate queue list --state held",
        "outgate queue show 0000000000000",
        "outgate queue retry 0000000000000 --reason now",
        "outgate queue hold 0000000000000",
        "outgate queue release 0000000000000",
        "outgate queue bounce 0000000000000 --json",
        "outgate held list",
        "outgate held show 0000000000000",
        "outgate held release 0000000000000 --reason wanted",
        "outgate held delete 0000000000000 --config f.toml",
        "outgate messages search --id x --sender a --recipient b --limit 3",
        "outgate messages label 0000000000000 spam --reason offer",
        "outgate audit list --json",
        "outgate audit verify --config f.toml",
        "outgate audit verify --json --head 12:00",
        "outgate account add alice --role smtp --tenant acme --may-send-as @acme.example --may-send-as b@c.example --password-stdin --config f",
        "outgate account list --json",
        "outgate account remove alice --reason left",
        "outgate token create nina --role admin --tenant acme",
        "outgate token list",
        "outgate token revoke nina",
    ];
    for line in lines {
        assert!(
            parse(line).is_ok(),
            "{line}: {}",
            parse(line).expect_err("seen")
        );
    }
}

#[test]
fn wrong_use_is_told() {
    let lines = [
        "outgate",
        "outgate nonsense",
        "outgate blocks release OG-0123456789 --reason x",
        "outgate blocks release OG-0123456789 --verdict maybe --reason x",
        "outgate blocks release OG-0123456789 --verdict mistake",
        "outgate blocks add sender alice@acme.example",
        "outgate blocks add person alice --reason x",
        "outgate blocks list --limit 0",
        "outgate account add alice --role smtp --tenant acme",
        "outgate account add alice --role king --password-stdin",
    ];
    for line in lines {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
    }
    for (arguments, wanted) in [
        ("--seeds 9-1", "write one seed or a range, such as 1-20"),
        ("--grid .9", "write TPR/FPR, such as .98/.001"),
        (
            "--grid .1/.9",
            "TPR and FPR are shares, the first larger than the second",
        ),
        ("--attacks none", "one of "),
        ("--world flat", "one of drawn, standard"),
    ] {
        let error = parse(&format!("outgate simulate {arguments}")).expect_err(arguments);
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_told_in_plain_words() {
    // Bound without listening: nobody else gets the port meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().expect("socket");
    taken
        .bind("127.0.0.1:0".parse().expect("address"))
        .expect("bind");
    let port = taken.local_addr().expect("address").port();
    let error = does(&format!(
        "outgate blocks list --url http://127.0.0.1:{port} --token t"
    ))
    .await;
    assert_eq!(
        error,
        Err(Failure::Failed(format!(
            "cannot reach the relay at http://127.0.0.1:{port}/: is it running?"
        )))
    );
    assert!(matches!(
        does("outgate blocks list --url nonsense --token t").await,
        Err(Failure::Usage(_))
    ));
    assert_eq!(
        does("outgate blocks list").await,
        Err(Failure::Usage(
            "c.toml: 9 bytes are no configuration; at most 4194304 are read".into()
        ))
    );
    let dir = tempfile::tempdir().expect("dir");
    let error = does(&format!(
        "outgate blocks list --config {}",
        dir.path().display()
    ))
    .await
    .expect_err("no token");
    assert!(
        matches!(&error, Failure::Failed(why) if why.contains("admin.token")),
        "{error:?}"
    );
}

#[test]
fn a_terminal_is_not_told_what_to_do() {
    let block = |subject: &str| -> BlockItem {
        let item = json!({ "ref": "OG-0000000001", "kind": "sender", "subject": subject, "tenant": null,
            "state": "active", "reason": "admin", "opened_at": "", "until": null, "opened_by": "", "evidence": [],
            "releases_left": 0, "reason_code": "admin", "explanation": "", "scope": "any" });
        serde_json::from_value(item).expect("a block")
    };
    let page = Page {
        items: vec![block("a\u{1b}[31m\n")],
        next: None,
    };
    assert!(views::blocks(&page).contains("a?[31m?"));
    assert!(views::block(&block("a\u{7}")).contains("a?"));
}
