//! Each command: a request, and what to print of the answer.

use super::args::{
    AuditCommand, BlocksCommand, HeldCommand, Listing, MessagesCommand, One, QueueCommand,
    ReadOptions, SendersCommand, VerdictArg,
};
use super::client::{ApiAnswer, ApiClient};
use super::{AdminCommand, Failure, LoadSettings, accounts, policy, views};
use crate::api::{
    ActReason, Acted, BlockFilter, BlockItem, LabelMessage, Labelled, MessageFilter, MessageItem,
    OpenBlock, Page, PageFilter, QueueFilter, QueueItem, QueueState, ReleaseBlock, SenderFilter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Runs the command; gives what goes to standard output.
pub(super) async fn run(command: AdminCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        AdminCommand::Blocks { command } => blocks(command, load).await,
        AdminCommand::Senders { command } => senders(command, load).await,
        AdminCommand::Policy { command } => policy::run(command, load).await,
        AdminCommand::Queue { command } => queue(command, load).await,
        AdminCommand::Held { command } => held(command, load).await,
        AdminCommand::Messages { command } => messages(command, load).await,
        AdminCommand::Audit {
            command: AuditCommand::List { listing },
        } => list(&listing, load, "audit", PageFilter::default(), views::audit).await,
        AdminCommand::Audit {
            command: AuditCommand::Verify { head, json, file },
        } => accounts::audit_verify(head.as_deref(), json, &file, load).await,
        AdminCommand::Account { command } => accounts::account(command, load).await,
        AdminCommand::Token { command } => accounts::token(command, load).await,
    }
}

/// The answer as the relay gave it, or as people read it.
fn show<T>(json: bool, answer: &ApiAnswer<T>, view: impl Fn(&T) -> String) -> String {
    if json {
        format!("{}\n", answer.json)
    } else {
        view(&answer.value)
    }
}

async fn list<T: DeserializeOwned>(
    listing: &Listing,
    load: LoadSettings,
    path: &str,
    filter: impl Serialize,
    view: impl Fn(&Page<T>) -> String,
) -> Result<String, Failure> {
    let client = ApiClient::new(&listing.reading.connect, load)?;
    let answer = client.list(&[path], &filter, listing.limit).await?;
    Ok(show(listing.reading.json, &answer, view))
}

async fn one<T: DeserializeOwned>(
    reading: &ReadOptions,
    load: LoadSettings,
    path: &[&str],
    view: impl Fn(&T) -> String,
) -> Result<String, Failure> {
    let answer = ApiClient::new(&reading.connect, load)?.get(path).await?;
    Ok(show(reading.json, &answer, view))
}

async fn change<T: DeserializeOwned>(
    reading: &ReadOptions,
    load: LoadSettings,
    path: &[&str],
    body: impl Serialize,
    view: impl Fn(&T) -> String,
) -> Result<String, Failure> {
    let client = ApiClient::new(&reading.connect, load)?;
    let answer = client.post(path, &body).await?;
    Ok(show(reading.json, &answer, view))
}

async fn blocks(command: BlocksCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        BlocksCommand::List {
            state,
            subject,
            tenant,
            listing,
        } => {
            let filter = BlockFilter {
                state,
                subject,
                tenant,
                ..BlockFilter::default()
            };
            list(&listing, load, "blocks", filter, views::blocks).await
        }
        BlocksCommand::Show { reference, reading } => {
            one(&reading, load, &["blocks", &reference], views::block).await
        }
        BlocksCommand::Add {
            kind,
            subject,
            reason,
            until,
            tenant,
            reading,
        } => {
            let body = OpenBlock {
                kind: Some(kind),
                subject: Some(subject),
                reason: Some(reason),
                until,
                tenant,
            };
            change(&reading, load, &["blocks"], body, views::block).await
        }
        BlocksCommand::Release {
            reference,
            verdict,
            reason,
            reading,
        } => {
            let verdict = match verdict {
                VerdictArg::Mistake => "mistake",
                VerdictArg::Compromised => "compromised",
            };
            let body = ReleaseBlock {
                verdict: Some(verdict.into()),
                reason: Some(reason),
            };
            let path = ["blocks", &reference, "release"];
            change::<BlockItem>(&reading, load, &path, body, views::block).await
        }
    }
}

async fn senders(command: SendersCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        SendersCommand::List { standing, listing } => {
            let filter = SenderFilter {
                standing,
                ..SenderFilter::default()
            };
            list(&listing, load, "senders", filter, views::senders).await
        }
        SendersCommand::Show { sender, reading } => {
            one(&reading, load, &["senders", &sender], views::sender).await
        }
    }
}

async fn messages(command: MessagesCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        MessagesCommand::Search {
            id,
            sender,
            recipient,
            listing,
        } => {
            let filter = MessageFilter {
                id,
                sender,
                recipient,
                ..MessageFilter::default()
            };
            list(&listing, load, "messages", filter, views::messages).await
        }
        MessagesCommand::Label { what, label } => {
            let One { id, changing } = what;
            let body = LabelMessage {
                label: label.clone(),
                reason: changing.reason,
            };
            let done = |_: &Labelled| format!("{id} is learned as {label}\n");
            let path = ["messages", &id, "label"];
            change(&changing.reading, load, &path, body, done).await
        }
    }
}

async fn act(
    what: One,
    load: LoadSettings,
    path: &str,
    verb: &str,
    done: &str,
) -> Result<String, Failure> {
    let One { id, changing } = what;
    let body = ActReason {
        reason: changing.reason,
    };
    let view = |_: &Acted| format!("{id} {done}\n");
    change(&changing.reading, load, &[path, &id, verb], body, view).await
}

async fn queue(command: QueueCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        QueueCommand::List { state, listing } => {
            let filter = QueueFilter {
                state,
                ..QueueFilter::default()
            };
            let view = |page: &_| views::queue(page, "the queue is empty");
            list(&listing, load, "queue", filter, view).await
        }
        QueueCommand::Show { id, reading } => {
            one(&reading, load, &["queue", &id], views::queued).await
        }
        QueueCommand::Retry(what) => act(what, load, "queue", "retry", "will be tried now").await,
        QueueCommand::Hold(what) => act(what, load, "queue", "hold", "is held").await,
        QueueCommand::Release(what) => act(what, load, "queue", "release", "goes on").await,
        QueueCommand::Bounce(what) => {
            act(what, load, "queue", "bounce", "is returned to its sender").await
        }
    }
}

async fn held(command: HeldCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        HeldCommand::List { listing } => {
            let view = |page: &_| views::queue(page, "nothing is held");
            list(&listing, load, "held", PageFilter::default(), view).await
        }
        HeldCommand::Show { id, reading } => held_show(id, &reading, load).await,
        HeldCommand::Release(what) => act(what, load, "held", "release", "goes on").await,
        HeldCommand::Delete(what) => act(what, load, "held", "delete", "is deleted").await,
    }
}

/// The queued message with its judgement from the trace.
async fn held_show(
    id: String,
    reading: &ReadOptions,
    load: LoadSettings,
) -> Result<String, Failure> {
    let client = ApiClient::new(&reading.connect, load)?;
    let mut item: ApiAnswer<QueueItem> = client.get(&["queue", &id]).await?;
    if item.value.state != QueueState::Held {
        return Err(Failure::Failed(format!(
            "{id} is not held; see: outgate queue show {id}"
        )));
    }
    let filter = MessageFilter {
        id: Some(id),
        ..MessageFilter::default()
    };
    let traced: ApiAnswer<Page<MessageItem>> = client.list(&["messages"], &filter, 1).await?;
    if let Some(map) = item.json.as_object_mut() {
        let judgement = traced.json.pointer("/items/0").cloned();
        map.insert("judgement".into(), json!(judgement));
    }
    let judged = traced.value.items.first();
    Ok(show(reading.json, &item, |item| views::held(item, judged)))
}
