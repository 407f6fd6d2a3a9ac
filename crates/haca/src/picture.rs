//! Grey images as text: two rows of pixels a line, with half blocks.

/// Draws a row-major image with values from 0 to 1, `zoom` characters wide a pixel. On a terminal without
/// colour, five levels of shading stand for the greys.
pub(crate) fn draw(pixels: &[f64], width: usize, colour: bool) -> String {
    let mut out = String::new();
    let height = pixels.len().checked_div(width).unwrap_or(0);
    let at = |x: usize, y: usize| pixels.get(y * width + x).copied().unwrap_or(0.0).clamp(0.0, 1.0);
    if colour {
        for y in (0..height).step_by(2) {
            out.push_str("    ");
            for x in 0..width {
                let (top, bottom) = (
                    grey(at(x, y)),
                    grey(if y + 1 < height { at(x, y + 1) } else { 0.0 }),
                );
                out.push_str(&format!("\u{1b}[38;5;{top};48;5;{bottom}m▀▀"));
            }
            out.push_str("\u{1b}[0m\n");
        }
    } else {
        for y in 0..height {
            out.push_str("    ");
            for x in 0..width {
                let level = (at(x, y) * 4.0).round() as usize;
                out.push_str(["  ", "░░", "▒▒", "▓▓", "██"][level.min(4)]);
            }
            out.push('\n');
        }
    }
    out
}

/// The entry of the 256-colour palette's grey ramp nearest to a brightness.
fn grey(value: f64) -> u8 {
    232 + (value * 23.0).round() as u8
}
