//! A table of which each row is a file.

/// Declares a table and the modules it is made of, a line each: `$item` of each module is a row, in this order.
///
/// `cargo fmt` does not find files that a macro declares; `cargo xtask fmt` formats them, and CI checks them.
#[macro_export]
macro_rules! table {
    ($(#[$doc:meta])* $vis:vis const $name:ident: [$row:ty] = $item:ident of $($module:ident)+) => {
        $(mod $module;)+

        $(#[$doc])*
        $vis const $name: [$row; [$(stringify!($module)),+].len()] = [$($module::$item),+];
    };
}
