//! What the gateway keeps out, and what it keeps in.

mod echo;
mod everywhere;
mod headers;
mod input;
mod liars;
mod pages;
mod panics;
mod planted;
mod sealing;
mod table;
mod upstream;
