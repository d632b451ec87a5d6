//! How it looks: text, HTML, the screen of `top`, and lines on the terminal.

pub mod html;
pub mod progress;
pub mod terminal;
pub mod text;
pub mod tui;
