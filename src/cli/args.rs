//! Arguments of the admin commands.

use super::ConfigFile;
use clap::{Args, Subcommand, ValueEnum};

/// Where the relay is and who we are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connect {
    /// Address of the admin API [default: `[admin] bind` of the configuration].
    #[arg(long, env = "OUTGATE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Bearer token [default: `<data_dir>/admin.token` of the configuration].
    #[arg(
        long,
        env = "OUTGATE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// Options of commands that read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadOptions {
    #[command(flatten)]
    pub connect: Connect,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub json: bool,
}

/// Options of commands that list.
#[derive(Debug, Clone, Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub reading: ReadOptions,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
}

/// Options of commands that change one thing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Changing {
    #[command(flatten)]
    pub reading: ReadOptions,
    /// Why; stands in the audit.
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlocksCommand {
    /// List blocks, newest first.
    List {
        /// Only blocks in this state.
        #[arg(long, value_parser = ["active", "released", "expired"])]
        state: Option<String>,
        /// Only blocks of this subject.
        #[arg(long)]
        subject: Option<String>,
        /// Only blocks of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one block with its evidence.
    Show {
        /// Reference, OG-XXXXXXXXXX.
        reference: String,
        #[command(flatten)]
        reading: ReadOptions,
    },
    /// Block somebody.
    Add {
        /// What kind of subject.
        #[arg(value_parser = ["sender", "domain", "client", "tenant", "website"])]
        kind: String,
        /// Address, domain, network, tenant name or host name.
        subject: String,
        /// Why; stands in the record.
        #[arg(long)]
        reason: String,
        /// When it ends by itself (RFC 3339).
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Tenant, where the subject does not tell.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        reading: ReadOptions,
    },
    /// End a block.
    Release {
        /// Reference, OG-XXXXXXXXXX.
        reference: String,
        /// What it was: held mail goes out (mistake) or stays for review (compromised).
        #[arg(long, value_enum)]
        verdict: VerdictArg,
        /// Why; stands in the record.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        reading: ReadOptions,
    },
}

/// Why a block is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictArg {
    /// The relay was wrong.
    Mistake,
    /// The account had been taken over and is clean again.
    Compromised,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SendersCommand {
    /// List senders.
    List {
        /// Only senders in this state.
        #[arg(long, value_parser = ["good", "watched", "held", "blocked"])]
        standing: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one sender.
    Show {
        /// Key or address.
        sender: String,
        #[command(flatten)]
        reading: ReadOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Tell which policy is a sender's, why the others are not, where each value comes from and
    /// what is used of it.
    Explain {
        /// Address, login or key.
        sender: String,
        /// Tenant, where the sender does not tell.
        #[arg(long)]
        tenant: Option<String>,
        /// As if it sent through this client address.
        #[arg(long, value_name = "ADDRESS")]
        client: Option<std::net::IpAddr>,
        #[command(flatten)]
        reading: ReadOptions,
    },
}

/// One message and why.
#[derive(Debug, Clone, Args)]
pub(crate) struct One {
    /// Message id.
    pub id: String,
    #[command(flatten)]
    pub changing: Changing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List queued mail, oldest first.
    List {
        /// Only messages in this state.
        #[arg(long, value_parser = ["active", "deferred", "held"])]
        state: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one message with its recipients.
    Show {
        /// Message id.
        id: String,
        #[command(flatten)]
        reading: ReadOptions,
    },
    /// Try now.
    Retry(One),
    /// Hold until released.
    Hold(One),
    /// Send on what is held.
    Release(One),
    /// Give up and tell the sender.
    Bounce(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum HeldCommand {
    /// List held mail, oldest first.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one held message with its judgement.
    Show {
        /// Message id.
        id: String,
        #[command(flatten)]
        reading: ReadOptions,
    },
    /// Send it on.
    Release(One),
    /// Drop it; nobody is told.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MessagesCommand {
    /// Search the trace, newest first; all that is given must fit.
    Search {
        /// The relay's id or the Message-ID header.
        #[arg(long)]
        id: Option<String>,
        /// Address, login, envelope sender or sender key.
        #[arg(long)]
        sender: Option<String>,
        /// Recipient address.
        #[arg(long)]
        recipient: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Teach that a message was spam, or was not. Works for the newest messages and for what is
    /// still queued or held.
    Label {
        #[command(flatten)]
        what: One,
        /// What it was.
        #[arg(value_parser = ["spam", "ham"])]
        label: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of the audit in `records.db` from its start; fails if a line was changed,
    /// removed or cut from the end.
    Verify {
        /// A line noted before, as an earlier `verify` or the relay's log tells it: it must still
        /// be there, unchanged.
        #[arg(long, value_name = "LINE:HASH")]
        head: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Where the configuration is.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// List what was done, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Sends mail.
    Smtp,
    /// Reads.
    Viewer,
    /// Acts on its tenant.
    Admin,
    /// Acts on everything.
    Operator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account.
    Add(NewAccount),
    /// List accounts.
    List(ListRecords),
    /// Remove an account.
    Remove(RemoveRecord),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is printed once and never again.
    Create(NewRecord),
    /// List tokens, without their secrets.
    List(ListRecords),
    /// Revoke a token.
    Revoke(RemoveRecord),
}

/// The name and rights of a new account or token.
#[derive(Debug, Args)]
pub(crate) struct NewRecord {
    /// Name; for an account of role smtp the login.
    pub name: String,
    /// What it may do.
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// Tenant it belongs to; operators have none.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Why; stands in the audit.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct NewAccount {
    /// Its name and rights.
    #[command(flatten)]
    pub record: NewRecord,
    /// Address or @domain it may send as, beside its own name; may be given more than once.
    #[arg(long, value_name = "ADDRESS|@DOMAIN")]
    pub may_send_as: Vec<String>,
    /// Read the password from standard input.
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

/// How to list accounts or tokens.
#[derive(Debug, Args)]
pub(crate) struct ListRecords {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// Which account or token to remove.
#[derive(Debug, Args)]
pub(crate) struct RemoveRecord {
    /// Name.
    pub name: String,
    /// Why; stands in the audit.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
}
