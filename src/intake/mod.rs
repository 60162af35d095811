//! The accept path: gate, identity, score, judgement, spool, queue.
