//! How an output looks: Slack blocks, terminal text, documents. Pure; every limit of the outside is kept here and nowhere else.

mod chart;
mod clean;
pub mod incident;
mod measure;
pub mod slack;
mod table;
pub mod text;
