//! Each command: a request, and what to print of the answer.

use super::args::{
    AuditCommand, BlocksCommand, HeldCommand, Listing, MessagesCommand, One, QueueCommand, Reading,
    SendersCommand, Verdict,
};
use super::client::Client;
use super::{AdminCommand, Failure, LoadSettings, accounts, policy, views};
use serde_json::{Value, json};

/// Runs the command; gives what goes to standard output.
pub(super) async fn run(command: AdminCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        AdminCommand::Blocks { command } => blocks(command, load).await,
        AdminCommand::Senders { command } => senders(command, load).await,
        AdminCommand::Policy { command } => policy::run(command, load).await,
        AdminCommand::Queue { command } => queue(command, load).await,
        AdminCommand::Held { command } => held(command, load).await,
        AdminCommand::Messages {
            command:
                MessagesCommand::Search {
                    id,
                    sender,
                    recipient,
                    listing,
                },
        } => {
            let filters = [("id", id), ("sender", sender), ("recipient", recipient)];
            list(&listing, load, "messages", &filters, views::messages).await
        }
        AdminCommand::Messages {
            command: MessagesCommand::Label { what, label },
        } => {
            let client = Client::new(&what.changing.reading.connect, load)?;
            let body = json!({ "label": label, "reason": what.changing.reason });
            let answer = client.post(&["messages", &what.id, "label"], body).await?;
            Ok(show(what.changing.reading.json, &answer, |_| {
                format!("{} is learned as {label}\n", what.id)
            }))
        }
        AdminCommand::Audit {
            command: AuditCommand::List { listing },
        } => list(&listing, load, "audit", &[], views::audit).await,
        AdminCommand::Audit {
            command: AuditCommand::Verify { head, json, file },
        } => accounts::audit_verify(head.as_deref(), json, &file, load).await,
        AdminCommand::Account { command } => accounts::account(command, load).await,
        AdminCommand::Token { command } => accounts::token(command, load).await,
    }
}

fn show(json: bool, value: &Value, view: impl Fn(&Value) -> String) -> String {
    if json {
        format!("{value}\n")
    } else {
        view(value)
    }
}

async fn list(
    listing: &Listing,
    load: LoadSettings,
    path: &str,
    filters: &[(&str, Option<String>)],
    view: impl Fn(&Value) -> String,
) -> Result<String, Failure> {
    let client = Client::new(&listing.reading.connect, load)?;
    let answer = client.list(&[path], filters, listing.limit).await?;
    Ok(show(listing.reading.json, &answer, view))
}

async fn one(
    reading: &Reading,
    load: LoadSettings,
    path: &[&str],
    view: impl Fn(&Value) -> String,
) -> Result<String, Failure> {
    let answer = Client::new(&reading.connect, load)?.get(path).await?;
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
            list(
                &listing,
                load,
                "blocks",
                &[("state", state), ("subject", subject), ("tenant", tenant)],
                views::blocks,
            )
            .await
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
            let client = Client::new(&reading.connect, load)?;
            let mut body = json!({ "kind": kind, "subject": subject, "reason": reason });
            if let Some(map) = body.as_object_mut() {
                map.extend(until.map(|t| ("until".to_owned(), t.into())));
                map.extend(tenant.map(|t| ("tenant".to_owned(), t.into())));
            }
            let block = client.post(&["blocks"], body).await?;
            Ok(show(reading.json, &block, views::block))
        }
        BlocksCommand::Release {
            reference,
            verdict,
            reason,
            reading,
        } => {
            let client = Client::new(&reading.connect, load)?;
            let verdict = match verdict {
                Verdict::Mistake => "mistake",
                Verdict::Compromised => "compromised",
            };
            let body = json!({ "verdict": verdict, "reason": reason });
            let block = client
                .post(&["blocks", &reference, "release"], body)
                .await?;
            Ok(show(reading.json, &block, views::block))
        }
    }
}

async fn senders(command: SendersCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        SendersCommand::List { standing, listing } => {
            list(
                &listing,
                load,
                "senders",
                &[("standing", standing)],
                views::senders,
            )
            .await
        }
        SendersCommand::Show { sender, reading } => {
            one(&reading, load, &["senders", &sender], views::sender).await
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
    let client = Client::new(&what.changing.reading.connect, load)?;
    let answer = client
        .post(
            &[path, &what.id, verb],
            json!({ "reason": what.changing.reason }),
        )
        .await?;
    Ok(show(what.changing.reading.json, &answer, |_| {
        format!("{} {done}\n", what.id)
    }))
}

async fn queue(command: QueueCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        QueueCommand::List { state, listing } => {
            list(&listing, load, "queue", &[("state", state)], |a| {
                views::queue(a, "the queue is empty")
            })
            .await
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
            list(&listing, load, "held", &[], |a| {
                views::queue(a, "nothing is held")
            })
            .await
        }
        HeldCommand::Show { id, reading } => held_show(&id, &reading, load).await,
        HeldCommand::Release(what) => act(what, load, "held", "release", "goes on").await,
        HeldCommand::Delete(what) => act(what, load, "held", "delete", "is deleted").await,
    }
}

async fn held_show(id: &str, reading: &Reading, load: LoadSettings) -> Result<String, Failure> {
    let client = Client::new(&reading.connect, load)?;
    let mut item = client.get(&["queue", id]).await?;
    if item.get("state").and_then(Value::as_str) != Some("held") {
        return Err(Failure::Failed(format!(
            "{id} is not held; see: outgate queue show {id}"
        )));
    }
    let traced = client
        .list(&["messages"], &[("id", Some(id.to_owned()))], 1)
        .await?;
    let judgement = traced.pointer("/items/0").cloned().unwrap_or_default();
    if let Some(map) = item.as_object_mut() {
        map.insert("judgement".into(), judgement);
    }
    Ok(show(reading.json, &item, views::held))
}
