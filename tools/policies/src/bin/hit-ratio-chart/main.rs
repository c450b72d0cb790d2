//! `hit-ratio-chart`: draws what `hit-ratio` has written. One panel a trace; the size of the cache as a share of the trace's
//! objects goes to the right, on a logarithmic scale, and the hit ratio upward; a line for each simulated policy, dots for
//! the engine's. No policy can be in the grey part above OPT.
//!
//!     hit-ratio-chart build/hit-ratio.csv build/hit-ratio.png
//!
//! `table` reads the file, `picture` writes the other one; what is drawn is here.

mod picture;
mod table;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use table::{Panel, Points};

/// Everything is drawn so many times as large, and then made smaller, which makes smooth lines.
const SCALE: i32 = 3;

const COLUMNS: usize = 4;
const CELL: (i32, i32) = (400, 350);
/// What is left of a cell around its panel: left, top, right, bottom.
const MARGIN: (i32, i32, i32, i32) = (46, 30, 14, 34);
const TITLE: i32 = 44;

/// The sizes in percent at the left and at the right edge, and those that are written below.
const X_RANGE: (f64, f64) = (0.9, 44.0);
const X_TICKS: [f64; 6] = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0];

const FONT: &str = "DejaVu Sans";
const GREY: RGBColor = RGBColor(90, 90, 90);
const GRID: RGBColor = RGBColor(225, 225, 225);
const OUT_OF_REACH: RGBColor = RGBColor(236, 236, 236);

/// How a policy is drawn: related ones have related colours, and dashes tell the plainer one of two.
struct Style {
    policy: &'static str,
    colour: RGBColor,
    dashed: bool,
}

const fn style(policy: &'static str, colour: RGBColor, dashed: bool) -> Style {
    Style { policy, colour, dashed }
}

/// In the order of drawing: what matters most is drawn over the rest. OPT, which is the edge, stands below all others.
const STYLES: &[Style] = &[
    style("opt", BLACK, false),
    style("fifo", RGBColor(130, 130, 130), true),
    style("clock", RGBColor(130, 130, 130), false),
    style("lfu", RGBColor(150, 90, 60), true),
    style("lfu-da", RGBColor(150, 90, 60), false),
    style("slru", RGBColor(110, 185, 235), true),
    style("2q", RGBColor(170, 165, 30), false),
    style("arc", RGBColor(0, 150, 110), false),
    style("lirs", RGBColor(125, 60, 165), false),
    style("sieve", RGBColor(230, 110, 190), false),
    style("w-tinylfu", RGBColor(240, 160, 0), false),
    style("lru", RGBColor(0, 110, 190), false),
    style("s3fifo", RGBColor(210, 70, 0), false),
];
/// Of the policies of the engine that have no simulator, and the last one of any other.
const OWN: [(&str, RGBColor); 2] = [("lru-lfu", RGBColor(150, 220, 90)), ("adaptive", RGBColor(190, 0, 50))];

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [csv, png] = &arguments[..] else {
        eprintln!("hit-ratio-chart: two arguments are wanted: the CSV file of hit-ratio, and the PNG file to write");
        return ExitCode::from(2);
    };
    match chart(csv, png) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hit-ratio-chart: {csv} to {png}: {error}");
            ExitCode::from(2)
        }
    }
}

fn chart(csv: &str, png: &str) -> Result<()> {
    let panels = table::panels(&fs::read_to_string(csv)?)?;
    for (style, bytes) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
        plotters::style::register_font(FONT, style, bytes).map_err(|_| "the font cannot be read")?;
    }
    // One cell more for the legend.
    let cells = panels.len() + 1;
    let (columns, rows) = (COLUMNS.min(cells), cells.div_ceil(COLUMNS));
    let (width, height) = (columns as i32 * CELL.0, TITLE + rows as i32 * CELL.1);

    let (wide, high) = ((width * SCALE) as u32, (height * SCALE) as u32);
    let mut pixels = vec![255; (wide * high * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (wide, high)).into_drawing_area();
        let title = "Hit ratio (%) by size of the cache (% of the trace's objects, at least 100 entries)";
        write(&area, title, (width / 2, TITLE / 2), 17, (HPos::Center, VPos::Center), true)?;
        let corner = |cell: usize| {
            let (column, row) = ((cell % columns) as i32, (cell / columns) as i32);
            (column * CELL.0, TITLE + row * CELL.1)
        };
        for (cell, panel) in panels.iter().enumerate() {
            panel.draw(&area, corner(cell))?;
        }
        legend(&area, corner(panels.len()), &panels)?;
        area.present()?;
    }
    let (width, height) = (width as usize, height as usize);
    picture::save(png, width, height, &picture::smaller(&pixels, width, height))
}

/// Where a panel's numbers are on the picture.
struct Scales {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    least: f64,
    most: f64,
}

impl Scales {
    fn x(&self, share: f64) -> f64 {
        let along = (share / X_RANGE.0).ln() / (X_RANGE.1 / X_RANGE.0).ln();
        f64::from(self.left) + along * f64::from(self.right - self.left)
    }

    fn y(&self, ratio: f64) -> f64 {
        let up = (ratio - self.least) / (self.most - self.least);
        f64::from(self.bottom) - up * f64::from(self.bottom - self.top)
    }

    /// The part of a line that is not below the panel.
    fn clipped(&self, from: (f64, f64), to: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
        let bottom = f64::from(self.bottom);
        if from.1 > bottom && to.1 > bottom {
            return None;
        }
        let at_bottom = || (from.0 + (to.0 - from.0) * (bottom - from.1) / (to.1 - from.1), bottom);
        Some((if from.1 > bottom { at_bottom() } else { from }, if to.1 > bottom { at_bottom() } else { to }))
    }
}

impl Panel {
    /// From the worst policy to what is possible, in round numbers. Plain LFU is left out, which would take most of the
    /// room of some panels: its line leaves them at the bottom.
    fn range(&self) -> (f64, f64) {
        let shown = self.simulated.iter().filter(|(policy, _)| *policy != "lfu");
        let ratios: Vec<f64> = shown.flat_map(|(_, points)| points.iter().map(|(_, ratio)| *ratio)).collect();
        let (least, most) = ratios.iter().fold((100.0_f64, 0.0_f64), |range, x| (range.0.min(*x), range.1.max(*x)));
        let least = (least / 10.0).floor() * 10.0;
        (least, ((most / 10.0).ceil() * 10.0).max(least + 10.0).min(100.0))
    }

    fn draw(&self, area: &Area<'_>, corner: (i32, i32)) -> Result<()> {
        let (least, most) = self.range();
        let scales = Scales {
            left: corner.0 + MARGIN.0,
            right: corner.0 + CELL.0 - MARGIN.2,
            top: corner.1 + MARGIN.1,
            bottom: corner.1 + CELL.1 - MARGIN.3,
            least,
            most,
        };
        let opt = self.simulated.get("opt").map_or(&[][..], Vec::as_slice);
        out_of_reach(area, &scales, opt)?;
        axes(area, &scales)?;
        write(area, &self.trace, (scales.left, corner.1 + MARGIN.1 - 6), 14, (HPos::Left, VPos::Bottom), true)?;
        for style in STYLES {
            if let Some(points) = self.simulated.get(style.policy) {
                let places: Points = points.iter().map(|(share, ratio)| (scales.x(*share), scales.y(*ratio))).collect();
                for pair in places.windows(2) {
                    if let Some((from, to)) = scales.clipped(pair[0], pair[1]) {
                        line(area, from, to, style)?;
                    }
                }
            }
        }
        for (policy, points) in &self.engine {
            for (share, ratio) in points {
                dot(area, (scales.x(*share), scales.y(*ratio)), policy)?;
            }
        }
        Ok(())
    }
}

/// Greys what is above OPT.
fn out_of_reach(area: &Area<'_>, scales: &Scales, opt: &[(f64, f64)]) -> Result<()> {
    let (Some(first), Some(last)) = (opt.first(), opt.last()) else { return Ok(()) };
    let mut outline = vec![(scales.x(first.0), f64::from(scales.top))];
    outline.extend(opt.iter().map(|(share, ratio)| (scales.x(*share), scales.y(*ratio))));
    outline.push((scales.x(last.0), f64::from(scales.top)));
    let outline: Vec<(i32, i32)> = outline.into_iter().map(pixel).collect();
    area.draw(&Polygon::new(outline, OUT_OF_REACH.filled()))?;
    Ok(())
}

fn axes(area: &Area<'_>, scales: &Scales) -> Result<()> {
    let (left, right) = (f64::from(scales.left), f64::from(scales.right));
    let (top, bottom) = (f64::from(scales.top), f64::from(scales.bottom));
    let thin = |from, to, colour: RGBColor| {
        area.draw(&PathElement::new(vec![pixel(from), pixel(to)], colour.stroke_width(SCALE as u32)))
    };
    for share in X_TICKS {
        let x = scales.x(share);
        thin((x, top), (x, bottom), GRID)?;
        write(area, &share.to_string(), (x as i32, scales.bottom + 5), 11, (HPos::Center, VPos::Top), false)?;
    }
    let span = scales.most - scales.least;
    let step = [2.0, 5.0, 10.0, 20.0].into_iter().find(|step| span / step <= 6.0).unwrap_or(25.0);
    let mut ratio = (scales.least / step).ceil() * step;
    while ratio <= scales.most {
        let y = scales.y(ratio);
        thin((left, y), (right, y), GRID)?;
        write(area, &ratio.to_string(), (scales.left - 6, y as i32), 11, (HPos::Right, VPos::Center), false)?;
        ratio += step;
    }
    thin((left, bottom), (right, bottom), GREY)?;
    thin((left, top), (left, bottom), GREY)?;
    Ok(())
}

/// The names: OPT, and then what was drawn last first.
fn legend(area: &Area<'_>, corner: (i32, i32), panels: &[Panel]) -> Result<()> {
    const ROW: i32 = 21;
    const NEXT: i32 = 175;
    let place = |index: usize, rows: usize| {
        let (column, row) = ((index / rows) as i32, (index % rows) as i32);
        (corner.0 + MARGIN.0 + column * NEXT, corner.1 + MARGIN.1 + 10 + row * ROW)
    };
    write(
        area,
        "simulated policies",
        (corner.0 + MARGIN.0, corner.1 + MARGIN.1 - 6),
        14,
        (HPos::Left, VPos::Bottom),
        true,
    )?;
    let rows = STYLES.len().div_ceil(2);
    let (opt, others) = STYLES.split_at(1);
    for (index, style) in opt.iter().chain(others.iter().rev()).enumerate() {
        let (x, y) = place(index, rows);
        line(area, (f64::from(x), f64::from(y)), (f64::from(x + 34), f64::from(y)), style)?;
        let name = if style.policy == "opt" { "OPT: the most possible" } else { style.policy };
        let size = if style.policy == "opt" { 11 } else { 12 };
        write(area, name, (x + 42, y), size, (HPos::Left, VPos::Center), false)?;
    }
    let below = corner.1 + MARGIN.1 + 10 + rows as i32 * ROW;
    write(area, "the engine", (corner.0 + MARGIN.0, below + 18), 14, (HPos::Left, VPos::Bottom), true)?;
    let engine = panels.first().map_or(&[][..], |panel| &panel.engine[..]);
    for (index, (policy, _)) in engine.iter().enumerate() {
        let (x, y) = (corner.0 + MARGIN.0 + (index % 3) as i32 * 115, below + 34 + (index / 3) as i32 * ROW);
        dot(area, (f64::from(x + 6), f64::from(y)), policy)?;
        write(area, policy, (x + 18, y), 12, (HPos::Left, VPos::Center), false)?;
    }
    Ok(())
}

fn pixel(place: (f64, f64)) -> (i32, i32) {
    let scale = f64::from(SCALE);
    ((place.0 * scale).round() as i32, (place.1 * scale).round() as i32)
}

fn line(area: &Area<'_>, from: (f64, f64), to: (f64, f64), style: &Style) -> Result<()> {
    const DASH: f64 = 5.0;
    const GAP: f64 = 3.0;
    let width = if style.policy == "opt" { 2.4 } else { 1.6 };
    let stroke = style.colour.stroke_width((width * f64::from(SCALE)).round() as u32);
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let at = |way: f64| {
        let part = if length > 0.0 { way / length } else { 0.0 };
        pixel((from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1)))
    };
    let (dash, step) = if style.dashed { (DASH, DASH + GAP) } else { (length, length.max(1.0)) };
    let mut way = 0.0;
    while way < length {
        area.draw(&PathElement::new(vec![at(way), at((way + dash).min(length))], stroke))?;
        way += step;
    }
    Ok(())
}

/// A dot of the policy's colour, edged so that it is seen on a line of that colour.
fn dot(area: &Area<'_>, place: (f64, f64), policy: &str) -> Result<()> {
    let simulated = STYLES.iter().map(|style| (style.policy, style.colour));
    let known = simulated.chain(OWN).find(|(name, _)| *name == policy);
    let (_, colour) = known.unwrap_or(OWN[OWN.len() - 1]);
    for (radius, colour) in [(4.4, BLACK), (3.3, colour)] {
        area.draw(&Circle::new(pixel(place), (radius * f64::from(SCALE)) as i32, colour.filled()))?;
    }
    Ok(())
}

fn write(
    area: &Area<'_>,
    text: &str,
    (x, y): (i32, i32),
    size: i32,
    (horizontal, vertical): (HPos, VPos),
    bold: bool,
) -> Result<()> {
    let (style, colour) = if bold { (FontStyle::Bold, BLACK) } else { (FontStyle::Normal, GREY) };
    let font = (FONT, f64::from(size * SCALE), style).into_font();
    let text_style = TextStyle::from(font).color(&colour).pos(Pos::new(horizontal, vertical));
    // What is centred would stand a little high: the middle is taken with room for letters that go below the line.
    let y = if matches!(vertical, VPos::Center) { y + 2 } else { y };
    area.draw(&Text::new(text, (x * SCALE, y * SCALE), text_style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_picture_with_a_cell_for_each_trace_and_one_for_the_legend() {
        let folder = std::env::temp_dir().join(format!("catzilla-chart-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let (csv, png) = (folder.join("in.csv"), folder.join("out.png"));
        let mut text = "trace,requests,objects,percent,entries,kind,policy,hit_ratio\n".to_owned();
        for kind in ["opt,opt", "simulator,lru", "engine,lru", "engine-1-shard,lru", "engine,adaptive"] {
            text += &format!("web,1000,1000,1,100,{kind},10.5\nweb,1000,1000,25,250,{kind},40\n");
        }
        fs::write(&csv, text).expect("a file");
        chart(csv.to_str().expect("UTF-8"), png.to_str().expect("UTF-8")).expect("a chart");
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&png).expect("a picture")));
        let reader = decoder.read_info().expect("a PNG file");
        let (width, height) = (2 * CELL.0 as u32, (TITLE + CELL.1) as u32);
        assert_eq!((reader.info().width, reader.info().height), (width, height));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
