// The types say what there is: the same names, and the same methods of each class.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import ts from "typescript";

import * as cursors from "../../lib/file-cursors.js";
import * as queuey from "../../queuey.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const modules = [
  ["types/index.d.ts", queuey],
  ["types/file-cursors.d.ts", cursors],
];
const program = ts.createProgram(
  modules.map(([name]) => ROOT + name),
  { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, types: [] },
);
const checker = program.getTypeChecker();

/** The classes and other values that a module of types has, by name. */
function declared(name) {
  const all = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(ROOT + name)));
  const resolved = all.map((each) => (each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each) : each));
  return new Map(resolved.filter((each) => each.flags & ts.SymbolFlags.Value).map((each) => [each.name, each]));
}

/** Names of methods and getters, less those of every class and error. */
function methods(names) {
  return [...names].filter((name) => !["constructor", "name", "prototype", "length"].includes(name)).sort();
}

for (const [name, module] of modules) {
  test(`${name} has the names of the module`, () => {
    assert.deepEqual([...declared(name).keys()].sort(), Object.keys(module).sort());
  });

  for (const [each, symbol] of declared(name)) {
    if (!(symbol.flags & ts.SymbolFlags.Class)) continue;
    test(`${each} has the methods that its types say`, () => {
      const own = [...symbol.members.values()].filter(
        (member) => member.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Accessor),
      );
      assert.deepEqual(
        methods(own.map((member) => member.name)),
        methods(Object.getOwnPropertyNames(module[each].prototype)),
      );
      const fixed = [...symbol.exports.keys()];
      assert.deepEqual(
        methods(fixed),
        methods(Object.getOwnPropertyNames(module[each]).filter((one) => one !== "errorName")),
      );
    });
  }
}

test("the package names what there is, and one version", () => {
  const read = (name) => JSON.parse(readFileSync(ROOT + name, "utf8"));
  const { version, exports } = read("package.json");
  assert.equal(version, queuey.VERSION);
  assert.equal(read("package-lock.json").version, version);
  for (const target of Object.values(exports).flatMap((each) =>
    Object.values(typeof each === "string" ? { each } : each),
  )) {
    assert.ok(readFileSync(ROOT + target, "utf8"));
  }
  const long = ["lib/", "types/"].flatMap((folder) =>
    readdirSync(ROOT + folder).filter((file) => readFileSync(ROOT + folder + file, "utf8").split("\n").length > 400),
  );
  assert.deepEqual(long, []);
});
