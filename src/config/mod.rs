//! From the file to checked settings. Pure: the shell reads the file and the environment.

pub mod settings;

pub use settings::Settings;
