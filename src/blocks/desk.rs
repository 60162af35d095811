//! The desk where blocks are opened and released: durable first, then in force, then the queue, then people are told.

use crate::judge::NewBlock;
use crate::records::Role;
use crate::types::{Block, BlockRef, ReleaseVerdict, TenantId};
use std::sync::Arc;

/// Who acts on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `relay`, account or token name.
    pub name: String,
    /// Role; decides the quota.
    pub role: Role,
    /// Tenant it is limited to; `None` = all.
    pub tenant: Option<TenantId>,
}

/// Why the desk refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskError {
    /// No such block (or not of this actor's tenant).
    NotFound,
    /// It has ended already.
    NotActive,
    /// The tenant's releases of this subject are used up; an operator must release.
    QuotaUsedUp,
    /// The subject is none of that kind; the text says what would be right.
    BadSubject(String),
    /// Records failed; ours, temporary.
    Failed(String),
}

/// The desk.
pub struct Desk {}

impl Desk {
    /// Opens a block: record durable, gate closed, queued mail held, people told. If the same subject is blocked already,
    /// gives that block.
    pub async fn open(&self, _new: NewBlock, _opened_by: &str) -> Result<Arc<Block>, DeskError> {
        unimplemented!()
    }
    /// Releases a block. `Mistake` sends the held mail on, `Compromised` leaves it for review.
    pub async fn release(
        &self,
        _reference: BlockRef,
        _verdict: ReleaseVerdict,
        _note: &str,
        _by: &Actor,
    ) -> Result<Arc<Block>, DeskError> {
        unimplemented!()
    }
    /// Releases that tenant admins have left for this block's subject in the running 30 days.
    pub async fn releases_left(&self, _block: &Block) -> Result<u32, DeskError> {
        unimplemented!()
    }
}
