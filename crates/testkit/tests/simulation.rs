//! The page on simulations is what the code does, and what it says holds.

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulation.md");
const FIGURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulation.svg");

#[test]
fn the_simulations_in_docs_are_the_generated_ones() {
    let page = testkit::simulation::page();
    for (path, wanted) in [(PAGE, page.text), (FIGURE, page.figure)] {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &wanted).expect("docs can be written");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == wanted, "{path} is out of date: UPDATE_GOLDEN=1 cargo test -p testkit --test simulation");
    }
}
