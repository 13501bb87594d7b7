//! Builder's API: the client against every way it can say no, and the commands on releases and jobs, end to end.

mod client;
mod jobs;
mod releases;
