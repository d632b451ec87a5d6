//! Rows with named cells, from CSV or JSON: what each column is, in what unit, and whose row it is.

mod decide;
mod dialect;

use std::borrow::Cow;
use std::cell::RefCell;

use self::decide::{settle, time_by_content};
use crate::model::fields::FieldId;
use crate::model::units::printable;
use crate::reading::import::clock::{Clock, local_us};
use crate::reading::import::columns::{Meaning, Unknown, meaning, ours};
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::prometheus::metric;
use crate::reading::import::size::{name, parse};
use crate::reading::import::time::{Epoch, Stamp, whole};

pub use self::dialect::Dialect;

/// What one column is, with what was decided of it.
#[derive(Clone, Debug)]
enum Column {
    Time(Option<Epoch>),
    Elapsed,
    Cgroup,
    Who(u8),
    Pid,
    Metric,
    Value(f64),
    Field(Target, f64),
    Both,
    /// A series of its own: the column is named after what it is of.
    Series(String, Target, f64),
    Out,
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: Vec<Column>,
    names: Vec<String>,
    dialect: Dialect,
    /// Follows times of day from row to row.
    clock: RefCell<Clock>,
    start_us: Option<i64>,
}

impl Columns {
    /// Finds out what the columns are, by their names and by some rows. `timed`: whether rows have a time from elsewhere.
    pub fn of(
        names: &[String],
        rows: &[Vec<String>],
        dialect: Dialect,
        timed: bool,
        intake: &mut Intake<'_>,
    ) -> Result<Columns, Stop> {
        let cells = |at: usize| {
            rows.iter().filter_map(move |row| row.get(at)).map(|cell| cell.trim()).filter(|c| !c.is_empty())
        };
        let mut meanings: Vec<Result<Meaning, Unknown>> = Vec::with_capacity(names.len());
        // What `sampler export` wrote has `min`, `low` and `high` as fields.
        let is_own = names.iter().any(|name| name == "lag_us");
        for (at, theirs) in names.iter().enumerate() {
            let found = match intake.options.mapped(theirs) {
                Some(mapped) => ours(mapped).ok_or(Unknown::NoField),
                // A series with its labels, as Grafana heads a column.
                None if theirs.contains('{') => Err(Unknown::NoField),
                None if is_own => ours(theirs).ok_or(()).or_else(|()| meaning(theirs, dialect.prefix)),
                None => meaning(theirs, dialect.prefix),
            };
            if let (Some(mapped), Err(_)) = (intake.options.mapped(theirs), &found) {
                return Err(Stop::new(format!(
                    "--map {theirs}={mapped}: no field has the name `{mapped}`; `sampler fields` lists them"
                )));
            }
            // docker's own name of its column is MemUsage.
            let both =
                matches!(found, Ok(Meaning::Field { .. })) && cells(at).next().is_some_and(|c| c.contains(" / "));
            meanings.push(if both { Ok(Meaning::UsageAndLimit) } else { found });
        }
        time_by_content(names, &mut meanings, &cells, dialect, timed, intake)?;
        let is_process = meanings.iter().any(|m| matches!(m, Ok(Meaning::Pid)));
        let mut of = Columns {
            columns: Vec::with_capacity(names.len()),
            names: names.to_vec(),
            dialect,
            clock: RefCell::default(),
            start_us: intake.options.start_us,
        };
        settle(names, &mut meanings, intake);
        let is_long = meanings.iter().any(|m| matches!(m, Ok(Meaning::Metric)));
        let has_field = meanings.iter().any(|m| matches!(m, Ok(Meaning::Field { .. } | Meaning::UsageAndLimit)));
        // Where rows say whose they are, a column cannot.
        let has_who = meanings.iter().any(|m| matches!(m, Ok(Meaning::Cgroup | Meaning::Who(_) | Meaning::Pid)));
        for (at, theirs) in names.iter().enumerate() {
            let samples = || cells(at);
            let column = match &meanings[at] {
                Ok(Meaning::Time(unit)) => Column::Time(*unit),
                Ok(Meaning::Elapsed) => Column::Elapsed,
                Ok(Meaning::Cgroup) => Column::Cgroup,
                Ok(Meaning::Who(order)) => Column::Who(*order),
                Ok(Meaning::Pid) => Column::Pid,
                Ok(Meaning::Metric) => Column::Metric,
                Ok(Meaning::UsageAndLimit) => {
                    intake.notes.took(theirs, Target::Field(FieldId::Current.field()), "its own", false);
                    Column::Both
                }
                Ok(Meaning::Value) if is_long => {
                    Column::Value(of.unit(theirs, None, false, is_process, samples(), intake).0)
                }
                Ok(Meaning::Value) if !has_field => {
                    let (unit, _) = of.unit(theirs, None, false, is_process, samples(), intake);
                    intake.notes.took(theirs, Target::Field(FieldId::Current.field()), &name(unit), true);
                    Column::Field(Target::Field(FieldId::Current.field()), unit)
                }
                Ok(Meaning::Value) => Column::Out,
                Ok(Meaning::Field { target, unit, exact, .. }) => {
                    let (unit, guessed) = if target.is_size() {
                        of.unit(theirs, *unit, *exact, is_process, samples(), intake)
                    } else {
                        (1.0, false)
                    };
                    let shown = if target.is_size() { name(unit) } else { "as it is".into() };
                    intake.notes.took(theirs, *target, &shown, guessed || !exact);
                    Column::Field(*target, unit)
                }
                Err(why) => of.series(theirs, *why, has_field || is_long || has_who, has_who, samples(), intake),
            };
            of.columns.push(column);
        }
        of.check(timed, intake)?;
        Ok(of)
    }

    /// A column that no field is named after may be a series of its own, as Grafana exports them.
    fn series<'a>(
        &self,
        theirs: &str,
        why: Unknown,
        has_field: bool,
        has_who: bool,
        mut samples: impl Iterator<Item = &'a str> + Clone,
        intake: &mut Intake<'_>,
    ) -> Column {
        if let Some((target, who)) = metric(theirs).filter(|_| why != Unknown::Percent) {
            intake.notes.took(theirs, target, "bytes", false);
            return match who {
                Some(who) if !has_who => Column::Series(who, target, 1.0),
                _ => Column::Field(target, 1.0),
            };
        }
        let sizes = |cell: &str| parse(cell, self.dialect.decimal, self.dialect.prefix);
        let mut seen = samples.clone().filter_map(sizes);
        let all = samples.clone().all(|cell| sizes(cell).is_some() || is_absent(cell));
        let looks = seen.clone().next().is_some_and(|first| {
            first.unit.is_some()
                || seen.all(|size| size.number.fract() == 0.0 && (size.number >= 1e6 || size.number == 0.0))
        });
        if !has_field && why == Unknown::NoField && all && looks {
            let has_unit = samples.find_map(sizes).is_some_and(|size| size.unit.is_some());
            let unit = intake.options.unit_of(theirs).unwrap_or(1.0);
            intake.notes.took(
                theirs,
                Target::Field(FieldId::Current.field()),
                if has_unit { "its own" } else { "bytes" },
                true,
            );
            return Column::Series(theirs.trim().to_owned(), Target::Field(FieldId::Current.field()), unit);
        }
        let shown = printable(theirs);
        intake.notes.leave_out(
            theirs,
            match why {
                Unknown::Percent => "a percentage is not a size".into(),
                Unknown::NotOurs => format!("it is no field of a cgroup (--map {shown}=FIELD if it is)"),
                Unknown::NoField => format!("no field has this name (--map {shown}=FIELD)"),
            },
        );
        Column::Out
    }

    /// The unit of bare numbers, bytes, and whether it is a guess.
    fn unit<'a>(
        &self,
        theirs: &str,
        named: Option<f64>,
        exact: bool,
        is_process: bool,
        samples: impl Iterator<Item = &'a str>,
        intake: &mut Intake<'_>,
    ) -> (f64, bool) {
        if let Some(given) = intake.options.unit_of(theirs) {
            return (given, false);
        }
        let sizes: Vec<_> = samples.filter_map(|cell| parse(cell, self.dialect.decimal, self.dialect.prefix)).collect();
        if sizes.iter().any(|size| size.unit.is_some()) {
            return (1.0, false);
        }
        match named {
            // kB is 1024 to ps and to most, and nobody says it.
            Some(unit) => return (unit, unit > 1.0),
            None if exact => return (1.0, false),
            None => {}
        }
        let mut numbers: Vec<f64> =
            sizes.iter().map(|size| size.number).filter(|n| *n > 0.0 && n.is_finite()).collect();
        numbers.sort_by(f64::total_cmp);
        let Some(&middle) = numbers.get(numbers.len() / 2) else { return (1.0, false) };
        let is_whole = numbers.iter().all(|n| n.fract() == 0.0);
        let all_divide = |by: f64| is_whole && numbers.len() >= 4 && numbers.iter().all(|n| n % by == 0.0);
        const KIB: f64 = 1024.0;
        let unit = if all_divide(4096.0) {
            1.0
        } else if is_process && is_whole {
            // ps prints kB: a process of 50 GB would be as many.
            if middle < 5e7 { KIB } else { 1.0 }
        } else if middle >= 2e7 {
            1.0
        } else if all_divide(4.0) || is_whole && middle >= 5e4 {
            KIB
        } else if middle >= 1.0 {
            KIB * KIB
        } else {
            KIB * KIB * KIB
        };
        let shown = printable(theirs);
        intake.notes.remark(format!(
            "`{shown}` names no unit: numbers such as {middle} are taken as {} (--unit {shown}=UNIT if they are not)",
            name(unit)
        ));
        (unit, true)
    }

    /// Whether there is a time and something to put down.
    fn check(&self, timed: bool, intake: &Intake<'_>) -> Result<(), Stop> {
        let listed: Vec<String> = self.names.iter().take(12).map(|name| format!("`{}`", printable(name))).collect();
        let listed = listed.join(", ");
        let is_out = |at: usize| matches!(self.columns[at], Column::Out) && !self.names[at].trim().is_empty();
        let time = self.columns.iter().position(|c| matches!(c, Column::Time(_) | Column::Elapsed));
        if time.is_none() && !timed {
            let first = (0..self.names.len()).find(|at| is_out(*at)).map_or("COLUMN", |at| self.names[at].trim());
            return Err(Stop::needs(
                format!(
                    "no column is a time; there are {listed}: name yours, or give --start and --interval where rows have none"
                ),
                ["--map", &format!("{first}=time")],
            ));
        }
        let has = |column: &Column| {
            matches!(column, Column::Field(..) | Column::Both | Column::Series(..) | Column::Value(_))
        };
        if self.columns.iter().any(has) {
            return Ok(());
        }
        let percent =
            |at: &usize| intake.notes.left_out.get(&self.names[*at]).is_some_and(|why| why.contains("percentage"));
        let what = match (0..self.names.len()).find(percent) {
            Some(at) => format!("`{}` is a percentage, which is not a size, and", printable(self.names[at].trim())),
            None => String::new(),
        };
        let what = format!(
            "{what} no column is memory of a known name; there are {listed}: --map COLUMN=current says which is, --unit in what"
        );
        match (0..self.names.len()).filter(|at| is_out(*at)).find(|at| !percent(at)) {
            Some(at) => Err(Stop::needs(what.trim_start(), ["--map", &format!("{}=current", self.names[at].trim())])),
            None => Err(Stop::new(what.trim_start())),
        }
    }

    /// Puts down a row. `now_us`: its time where no column has one. Returns whether it had any value.
    pub fn row(&self, cells: &[Cow<'_, str>], now_us: Option<i64>, intake: &mut Intake<'_>) -> Result<bool, Stop> {
        let Some(time_us) = self.time(cells, now_us, intake)? else {
            intake.notes.unread_lines += 1;
            return Ok(false);
        };
        let who = self.who(cells, intake);
        let place = Place { who: &who, life: 0, time_us };
        let mut any = false;
        let metric_name = self.cells(cells).find(|(c, _)| matches!(c, Column::Metric)).map(|(_, cell)| cell);
        for (column, cell) in self.cells(cells) {
            match column {
                Column::Field(target, unit) => any |= self.put(&place, *target, *unit, cell, intake)?,
                Column::Series(who, target, unit) => {
                    any |= self.put(&Place { who, ..place }, *target, *unit, cell, intake)?;
                }
                Column::Value(unit) => any |= self.long(&place, metric_name.unwrap_or(""), *unit, cell, intake)?,
                Column::Both => {
                    any |= crate::reading::import::docker_stats::usage_and_limit(
                        &place,
                        cell,
                        self.dialect.prefix,
                        intake,
                    )?
                }
                _ => {}
            }
        }
        Ok(any)
    }

    /// A row of a long table: what it is stands in a cell.
    fn long(
        &self,
        place: &Place<'_>,
        theirs: &str,
        unit: f64,
        cell: &str,
        intake: &mut Intake<'_>,
    ) -> Result<bool, Stop> {
        let mapped = intake.options.mapped(theirs).and_then(ours).ok_or(Unknown::NoField);
        if let Some((target, who)) = metric(theirs).filter(|_| mapped.is_err()) {
            let who = who.unwrap_or_else(|| place.who.to_owned());
            intake.notes.took(theirs, target, &name(unit), false);
            return self.put(&Place { who: &who, ..*place }, target, unit, cell, intake);
        }
        match mapped.or_else(|_| meaning(theirs, self.dialect.prefix)) {
            Ok(Meaning::Field { target, unit: own, .. }) => {
                let unit = own.unwrap_or(unit);
                intake.notes.took(theirs, target, &name(unit), true);
                self.put(place, target, unit, cell, intake)
            }
            Err(Unknown::Percent) => {
                intake.notes.leave_out(theirs, "a percentage is not a size");
                Ok(false)
            }
            // The legend of a plot: what it is of.
            Err(Unknown::NoField) if !theirs.is_empty() => {
                let target = Target::Field(FieldId::Current.field());
                intake.notes.took("Value", target, &name(unit), true);
                self.put(&Place { who: theirs, ..*place }, target, unit, cell, intake)
            }
            _ => {
                intake.notes.leave_out(theirs, "it is no field of a cgroup");
                Ok(false)
            }
        }
    }

    fn put(
        &self,
        place: &Place<'_>,
        target: Target,
        unit: f64,
        cell: &str,
        intake: &mut Intake<'_>,
    ) -> Result<bool, Stop> {
        if is_absent(cell) {
            return Ok(false);
        }
        let value = match cell {
            "max" | "unlimited" => f64::INFINITY,
            _ => match parse(cell, self.dialect.decimal, self.dialect.prefix) {
                Some(size) => size.number * size.unit.unwrap_or(unit),
                None => {
                    intake.notes.refused_values += 1;
                    return Ok(false);
                }
            },
        };
        intake.put(place, target, value)?;
        Ok(!value.is_nan())
    }

    fn cells<'a>(&'a self, cells: &'a [Cow<'_, str>]) -> impl Iterator<Item = (&'a Column, &'a str)> {
        self.columns.iter().zip(cells).map(|(column, cell)| (column, cell.trim()))
    }

    fn time(&self, cells: &[Cow<'_, str>], now_us: Option<i64>, intake: &mut Intake<'_>) -> Result<Option<i64>, Stop> {
        let mut day = None;
        for (at, (column, cell)) in self.cells(cells).enumerate() {
            match column {
                Column::Time(unit) => {
                    if let Some(unit) = unit
                        && let Some(us) = unit.micros(cell)
                    {
                        if let Some(start) = self.start_us.filter(|_| !crate::reading::import::intake::is_plausible(us))
                        {
                            return Ok(Some(start.saturating_add(us)));
                        }
                        return self.checked(at, us, cell, *unit).map(Some);
                    }
                    match whole(cell, self.dialect.day_first) {
                        // Date and time in two columns.
                        Some(Stamp::Day(date)) => day = Some(date),
                        Some(Stamp::OfDay(time)) if day.is_some() => {
                            let local = day.unwrap_or_default().to_datetime(time);
                            return local_us(local, intake).map(Some);
                        }
                        Some(stamp) => {
                            let mut clock = self.clock.borrow_mut();
                            clock.set(stamp, intake)?;
                            return clock.now(intake.options).map(Some);
                        }
                        None => {}
                    }
                }
                Column::Elapsed => {
                    if let Ok(seconds) = cell.replace(',', ".").parse::<f64>() {
                        let micros = (seconds * 1e6).clamp(0.0, 1e17) as i64;
                        return crate::reading::import::psrecord::start(intake)
                            .map(|start| Some(start.saturating_add(micros)));
                    }
                }
                _ => {}
            }
        }
        match day {
            Some(date) => local_us(date.to_datetime(jiff::civil::Time::midnight()), intake).map(Some),
            None => Ok(now_us),
        }
    }

    /// A time in a unit that its column names, which must not be another by mistake.
    fn checked(&self, at: usize, us: i64, cell: &str, unit: Epoch) -> Result<i64, Stop> {
        if crate::reading::import::intake::is_plausible(us) {
            return Ok(us);
        }
        let column = self.names.get(at).map_or("", String::as_str);
        let shown = printable(column);
        let (_, theirs) = unit.per_second();
        match cell.parse().ok().and_then(Epoch::of) {
            Some(other) => {
                let (per_second, really) = other.per_second();
                let name = match per_second {
                    1 => "ts_s",
                    1_000 => "ts_ms",
                    1_000_000 => "ts_us",
                    _ => "ts_ns",
                };
                Err(Stop::needs(
                    format!(
                        "`{shown}` has {}, which as {theirs} is {}, and as {really} a time of today",
                        printable(cell),
                        crate::model::time::format_us(us)
                    ),
                    ["--map", &format!("{column}={name}")],
                ))
            }
            None => Err(Stop::needs(
                format!(
                    "`{shown}` has {}, which is {} and not between 1990 and 2100: where times count from a start, say when that was",
                    printable(cell),
                    crate::model::time::format_us(us)
                ),
                ["--start", "2026-01-01T00:00:00Z"],
            )),
        }
    }

    fn who(&self, cells: &[Cow<'_, str>], intake: &Intake<'_>) -> String {
        let mut parts: Vec<(u8, &str)> = Vec::new();
        let mut pid = None;
        for (column, cell) in self.cells(cells) {
            match column {
                Column::Cgroup if !cell.is_empty() => return cell.to_owned(),
                Column::Who(order) if !cell.is_empty() => parts.push((*order, cell)),
                Column::Pid if !cell.is_empty() => pid = Some(cell),
                _ => {}
            }
        }
        // An id is needed only where there is no name.
        if parts.iter().any(|(order, _)| (2..5).contains(order)) {
            parts.retain(|(order, _)| *order < 5);
        }
        parts.sort_by_key(|(order, _)| *order);
        let is_one = parts.len() == 1;
        let name: Vec<&str> =
            parts.iter().map(|(_, part)| if is_one { *part } else { part.trim_start_matches('/') }).collect();
        match (name.join("/"), pid) {
            (name, Some(pid)) if name.is_empty() => format!("pid {pid}"),
            (name, Some(pid)) => format!("{name} ({pid})"),
            (name, None) if name.is_empty() => intake.options.stem.clone(),
            (name, None) => name,
        }
    }
}

/// What stands for no value.
fn is_absent(cell: &str) -> bool {
    matches!(cell, "" | "-" | "--" | "?" | "null" | "NULL" | "None" | "nil" | "N/A" | "n/a" | "undefined" | "NA")
}
