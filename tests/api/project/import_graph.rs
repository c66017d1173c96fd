//! Which file of the library imports which: layers import only from below, and no files import each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// The path of a module below the crate's root, such as `["store", "images", "tags"]`.
type Module = Vec<String>;

/// Each top-level module and its layer. A file imports from lower layers and from its own module.
const LAYERS: [(&str, u8); 14] = [
    ("app", 6),
    ("config", 6),
    ("data_dir", 6),
    ("web", 5),
    ("http", 4),
    ("worker", 4),
    ("service", 3),
    ("store", 2),
    ("objects", 2),
    ("imaging", 2),
    ("fetch", 2),
    ("caption", 2),
    ("metrics", 2),
    ("model", 1),
];
const TOP_LAYER: u8 = 6;

#[test]
fn layers_import_only_from_lower_layers() {
    let layers = BTreeMap::from(LAYERS);
    let imports = imports();
    assert!(imports.len() > 150, "only {} files were read", imports.len());
    for (importer, imported) in imports.iter().flat_map(|(file, all)| all.iter().map(move |other| (file, other))) {
        let layer_of = |module: &Module| Some((module.first()?.clone(), *layers.get(module.first()?.as_str())?));
        let (Some((from, from_layer)), Some((to, to_layer))) = (layer_of(importer), layer_of(imported)) else { continue };
        let allowed = from == to || to_layer < from_layer || from_layer == TOP_LAYER && to_layer == TOP_LAYER;
        assert!(allowed, "{} (layer {from_layer}) imports {} (layer {to_layer})", importer.join("::"), imported.join("::"));
    }
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let mut imports = imports();
    for (file, imported) in &mut imports {
        // The files of a folder extend what its `mod.rs` defines.
        imported.retain(|other| !file.starts_with(other));
    }
    // Files that import none of the others, or that none of the others imports, are in no cycle.
    loop {
        let imported: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|file, others| !others.is_empty() && imported.contains(file));
        let left: BTreeSet<Module> = imports.keys().cloned().collect();
        imports.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
        if imports.len() == before {
            break;
        }
    }
    let edges = imports.iter().flat_map(|(file, others)| others.iter().map(move |other| (file.join("::"), other.join("::"))));
    let edges: Vec<String> = edges.map(|(file, other)| format!("{file} imports {other}")).collect();
    assert!(edges.is_empty(), "these imports form cycles, or lead from one to another:\n{}", edges.join("\n"));
}

/// What each file imports, by module. Tests are left out.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    collect_files(&root, &mut Vec::new(), &mut files);
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    let parse = |path: &PathBuf| syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let read = |(module, path): (&Module, &PathBuf)| {
        let mut imports = Imports { module, modules: &modules, names: BTreeMap::new(), found: BTreeSet::new() };
        imports.visit_file(&parse(path));
        (module.clone(), imports.found)
    };
    files.iter().filter(|(module, _)| !module.iter().any(|name| name.contains("tests"))).map(read).collect()
}

fn collect_files(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            collect_files(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") && !["lib", "main"].contains(&name.as_str()) {
            let own = if name == "mod" { None } else { Some(name) };
            files.insert(module.iter().cloned().chain(own).collect(), path);
        }
    }
}

struct Imports<'a> {
    module: &'a Module,
    modules: &'a BTreeSet<Module>,
    /// Modules that the file has imported, by the names that it uses for them.
    names: BTreeMap<String, Module>,
    found: BTreeSet<Module>,
}

impl Imports<'_> {
    /// Notes the file that defines what `path` names: the deepest module on it. Returns the module if the path names one.
    fn add(&mut self, path: &[String]) -> Option<Module> {
        let first = path.first()?;
        let ups = path.iter().take_while(|name| *name == "super").count();
        let (mut target, rest) = match first.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (self.module.clone(), &path[1..]),
            "super" => (self.module[..self.module.len().saturating_sub(ups)].to_vec(), &path[ups..]),
            name => match self.names.get(name) {
                Some(module) => (module.clone(), &path[1..]),
                None => (self.module.clone(), path),
            },
        };
        let mut is_module = true;
        for name in rest {
            target.push(name.clone());
            if !self.modules.contains(&target) && !self.modules.iter().any(|module| module.starts_with(&target)) {
                target.pop();
                is_module = false;
                break;
            }
        }
        if target != *self.module && self.modules.contains(&target) {
            self.found.insert(target.clone());
        }
        is_module.then_some(target)
    }

    fn add_tree(&mut self, tree: &syn::UseTree, path: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.add_tree(&inner.tree, path);
                path.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(item, path)),
            syn::UseTree::Name(syn::UseName { ident, .. }) | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                let own = Some(ident.to_string()).filter(|name| name != "self");
                let whole: Vec<String> = path.iter().cloned().chain(own).collect();
                let used_name = match tree {
                    syn::UseTree::Rename(rename) => rename.rename.to_string(),
                    _ => whole.last().cloned().unwrap_or_default(),
                };
                if let Some(module) = self.add(&whole).filter(|module| !module.is_empty()) {
                    self.names.insert(used_name, module);
                }
            }
            syn::UseTree::Glob(_) => drop(self.add(path)),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
        };
        if !item.attrs.iter().any(is_test) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(&names);
        }
        syn::visit::visit_path(self, path);
    }

    /// `pub(in crate::service)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
