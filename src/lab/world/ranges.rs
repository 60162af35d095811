//! From where to where the numbers of a drawn world go. `docs/simulation.md` has the same table.

/// From the least to the most.
pub(super) type Range = (f64, f64);

/// Senders of a tenant.
pub(super) const SENDERS: Range = (5.0, 5000.0);
/// Share of applications among them.
pub(super) const APPLICATIONS: Range = (0.01, 0.35);
/// Share of newsletters among them.
pub(super) const NEWSLETTERS: Range = (0.002, 0.15);
/// Days of history of an attacked account.
pub(super) const HISTORY: Range = (0.0, 60.0);
/// Days of a tenant before the attacks.
pub(super) const DAYS: Range = (11.0, 60.0);
/// Clients of a tenant; in half of the worlds it is one.
pub(super) const CLIENTS: Range = (1.0, 20.0);
/// Senders that are replaced by new ones a day, as a share.
pub(super) const ARRIVALS: Range = (0.000_2, 0.005);
/// Median messages of a person on a working day.
pub(super) const PERSON: Range = (3.0, 40.0);
/// Median messages of an application a day.
pub(super) const APPLICATION: Range = (10.0, 300.0);
/// Median recipients of a mailing.
pub(super) const MAILING: Range = (50.0, 3000.0);
/// Sigma between two senders of one class.
pub(super) const SIGMA: Range = (0.4, 1.3);
/// Sigma between two days of one sender.
pub(super) const DAY_SIGMA: Range = (0.3, 1.0);
/// Days between two mailings.
pub(super) const BURST_DAYS: Range = (1.0, 14.0);
/// What a weak day of the week has of a working day.
pub(super) const WEAK_DAY: Range = (0.0, 0.7);
/// Hour of the day around which persons write.
pub(super) const HOUR: Range = (9.0, 16.0);
/// Its standard deviation, in hours.
pub(super) const HOURS: Range = (1.5, 5.0);
/// Share of new recipients of the persons who write to few new ones.
pub(super) const PERSON_NEW: Range = (0.0, 0.06);
/// By how much that of others may be larger.
pub(super) const PERSON_NEW_MORE: Range = (0.1, 0.5);
/// Share of new recipients of an application.
pub(super) const APPLICATION_NEW: Range = (0.05, 0.95);
/// Share of new recipients of a mailing.
pub(super) const MAILING_NEW: Range = (0.0, 0.1);
/// Contacts of a person from the start.
pub(super) const CONTACTS: Range = (15.0, 400.0);
/// Share of mail that bounces, of persons and of mailings.
pub(super) const BOUNCES: Range = (0.002, 0.03);
/// The same of applications.
pub(super) const APPLICATION_BOUNCES: Range = (0.002, 0.06);
/// Share of a person's days with a message to 20-150.
pub(super) const ONE_TO_MANY: Range = (0.001, 0.03);
/// Share of mailings that go to an imported list.
pub(super) const IMPORTS: Range = (0.0, 0.02);
/// Share of an imported list that bounces.
pub(super) const IMPORT_BOUNCES: Range = (0.01, 0.08);
/// Share of a person's messages that are little more than the footer of the company.
pub(super) const FOOTERS: Range = (0.02, 0.4);
/// Bits in which the fingerprints of a text and of its copies differ at most.
pub(super) const COPY_BITS: Range = (1.0, 8.0);
/// Nats by which the scores of two copies of a text of an application or newsletter differ.
pub(super) const COPY_NATS: Range = (0.05, 0.8);
/// Share of an attack's recipients that its account never wrote to.
pub(super) const ATTACK_NEW: Range = (0.4, 1.0);
/// Least and most share of an attack's new recipients that bounce.
pub(super) const ATTACK_BOUNCES: Range = (0.0, 0.4);
/// By how much attacks are faster than the table of attacks says.
pub(super) const PACE: Range = (0.3, 2.0);
/// Share of its mail that the owner of an attacked account goes on to write.
pub(super) const OWNER: Range = (0.0, 1.0);
/// Days over which a patient attacker prepares.
pub(super) const PATIENCE: Range = (5.0, 21.0);
