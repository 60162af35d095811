//! What the relay remembers of every sender: windows, baselines, evidence, standing.
