//! How an output looks: Slack blocks and terminal text. Pure; every limit of the outside is kept here and nowhere else.

mod chart;
mod clean;
mod measure;
pub mod slack;
mod table;
pub mod text;
