//! HTTP API and pages over typed commands.
