"""In: the US census lists of 1990 and SCOWL's words. Out: `names.csv` and `words.csv` of residency.deid.

    python scripts/name_lists.py CENSUS_FOLDER WORDS_FILE

The folder has dist.all.last, dist.female.first and dist.male.first (public domain); the file is SCOWL's
american-english-small (Debian: wamerican-small; free to use, copy, modify and distribute with its notice).
"""

import csv
import sys
from pathlib import Path

N_FAMILY = 25_000
OUT = Path(__file__).parent.parent / "src" / "residency" / "deid"
# Spelled small in the word list, and yet a name wherever they are spelled with a capital.
NAMES_ABOVE_ALL = frozenset(
    ["smith", "miller", "martin", "peter", "mike", "jack", "frank", "harry", "victor", "ken", "bob", "nick", "matt", "rob", "maria", "carol", "heather", "sally", "sue", "patty", "derrick", "glen", "peters", "franks", "cooper", "fisher", "hicks", "wells", "brooks", "lynch", "watts", "graves", "stokes", "jay", "eddy", "barb", "bill", "don", "ray", "gene", "dean", "warren", "drew", "derrick", "curt", "chuck", "garret", "jarred", "christen", "marina", "trinity", "kitty", "dolly", "garland", "sears", "hays", "levy", "snider", "shepherd", "ford", "combs"]
)
ELSEWHERE_MALE = (
    ["ahmed", "ali", "amir", "anders", "andrei", "antoine", "arjun", "arturo", "asif", "bashir", "bjorn", "boris", "carlos", "chen", "chidi", "davide", "diego", "dmitri", "emeka", "emre", "enrique", "erik", "fabio", "farid", "fernando", "francesco", "francois", "georgi", "giovanni", "giuseppe", "goran", "gunnar", "hamid", "hans", "haruto", "hassan", "heinrich", "henrik", "hiroshi", "hugo", "hussein", "ibrahim", "igor", "imran", "ivan", "jamal", "jan", "javier", "jean", "jiho", "jonas", "jorge", "jose", "juan", "jurgen", "karim", "karl", "kenji", "khalid", "klaus", "kofi", "kwame", "lars", "li", "luca", "luis", "magnus", "mahmoud", "marek", "mario", "mateo", "mehmet", "miguel", "mikhail", "milan", "mohamed", "mohammed", "muhammad", "mustafa", "naveen", "nikhil", "nikolai", "olaf", "omar", "osman", "oscar", "pablo", "pavel", "pedro", "pierre", "piotr", "raj", "rajesh", "ramesh", "ravi", "rene", "reza", "ricardo", "sanjay", "santiago", "sergei", "stefan", "sven", "takeshi", "tariq", "thiago", "tomas", "umar", "vijay", "viktor", "vikram", "vladimir", "wei", "werner", "wolfgang", "xavier", "yusuf", "zhang", "ziad"]
)
ELSEWHERE_FEMALE = (
    ["aaliyah", "adriana", "agnieszka", "aisha", "akiko", "alejandra", "amara", "amina", "ananya", "anastasia", "anja", "anneliese", "anya", "astrid", "ayesha", "beatriz", "bianca", "birgit", "brigitte", "camila", "carmen", "catalina", "chiara", "chloe", "claudia", "daniela", "deepa", "dolores", "ekaterina", "elena", "elif", "emilia", "esperanza", "farah", "fatima", "fatma", "fernanda", "francesca", "freya", "gabriela", "giulia", "greta", "guadalupe", "hana", "heidi", "hiroko", "ingrid", "irina", "isabella", "isabel", "jana", "jing", "jovana", "katarzyna", "kavita", "keiko", "khadija", "lakshmi", "lan", "layla", "leila", "lena", "linh", "ljubica", "lucia", "ludmila", "magdalena", "malgorzata", "margarita", "mariam", "mariana", "marisol", "mei", "meera", "mei-ling", "milena", "mina", "nadia", "naomi", "natalia", "natasha", "nguyet", "nina", "noor", "olga", "olena", "paola", "parvati", "pilar", "pooja", "priya", "rania", "renata", "rosa", "rosario", "ruxandra", "sakura", "saoirse", "sara", "shreya", "siobhan", "sofia", "sunita", "svetlana", "tatiana", "thuy", "ursula", "valentina", "wanjiru", "xiomara", "yasmin", "yuki", "yumi", "zainab", "zeynep", "zofia", "zsofia", "zoe"]
)
ELSEWHERE_FAMILY = (
    ["abdullah", "acharya", "adeyemi", "agarwal", "ahmad", "ahmadi", "akhtar", "alvarez", "andersson", "aoki", "bakker", "banerjee", "bauer", "becker", "bergstrom", "bhatt", "bianchi", "bjork", "braun", "chakraborty", "chandra", "choi", "chowdhury", "costa", "demir", "desai", "dubois", "dupont", "eriksson", "ferrari", "fischer", "fujimoto", "garcia", "gruber", "gupta", "haddad", "hansen", "hashimoto", "hoang", "hoffmann", "horvat", "hossain", "huang", "huynh", "ivanov", "iyer", "jansen", "jensen", "johansson", "joshi", "kapoor", "karlsson", "kaya", "keller", "khan", "kobayashi", "koch", "kowalczyk", "kowalski", "kozlov", "kumar", "larsen", "lehmann", "lefebvre", "lopez", "malik", "mehta", "mendoza", "meyer", "mueller", "mukherjee", "mwangi", "nakamura", "nair", "nguyen", "nielsen", "novak", "nowak", "obi", "okafor", "okonkwo", "olsen", "osei", "papadopoulos", "patel", "pereira", "petrov", "popescu", "prakash", "rahman", "rao", "reddy", "ricci", "rossi", "russo", "saito", "sato", "schmidt", "schneider", "schroeder", "schulz", "sharma", "shah", "silva", "singh", "sokolov", "suzuki", "svensson", "takahashi", "tanaka", "torres", "tran", "truong", "usman", "vargas", "verma", "vogel", "volkov", "wagner", "wang", "weber", "wozniak", "wu", "xu", "yamamoto", "yang", "yilmaz", "zhang", "zhou"]
)


def first_words(path: Path, most: int) -> list[str]:
    """Read the names of a census file, most frequent first."""
    lines = path.read_text("ascii").splitlines()
    return [line.split()[0].lower() for line in lines[:most] if line.strip()]


def shares(path: Path) -> dict[str, float]:
    """Read how many of a hundred bear each name."""
    return {
        line.split()[0].lower(): float(line.split()[1])
        for line in path.read_text("ascii").splitlines()
        if line
    }


def main(census: Path, word_file: Path) -> None:
    """Write both lists."""
    spelled = {line.strip() for line in word_file.read_text("utf-8").splitlines()}
    words = {word for word in spelled if word.isascii() and word.isalpha() and word.islower()}
    kinds: dict[str, set[str]] = {}
    parts = {
        "f": (*first_words(census / "dist.female.first", 5000), *ELSEWHERE_FEMALE),
        "m": (*first_words(census / "dist.male.first", 5000), *ELSEWHERE_MALE),
        "s": (*first_words(census / "dist.all.last", N_FAMILY), *ELSEWHERE_FAMILY),
    }
    for kind, names in parts.items():
        for name in names:
            if len(name) > 1:
                kinds.setdefault(name, set()).add(kind)
    share = {kind: shares(census / f"dist.{long}.first") for kind, long in (("f", "female"), ("m", "male"))}
    for name, found in kinds.items():
        if {"f", "m"} <= found and name not in ELSEWHERE_MALE and name not in ELSEWHERE_FEMALE:
            parts_of = {kind: share[kind].get(name, 0.0) for kind in "fm"}
            rare = min(parts_of, key=parts_of.__getitem__)
            if parts_of[rare] < 0.1 * max(parts_of.values()):
                found.discard(rare)
    rank = {name: place for place, name in enumerate(first_words(census / "dist.all.last", N_FAMILY))}
    given: dict[str, int] = {}
    for kind in "fm":
        for place, name in enumerate(parts[kind]):
            given[name] = min(place, given.get(name, place))
    with (OUT / "names.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "kinds"])
        for name in sorted(kinds):
            marks = "".join(sorted(kinds[name]))
            marks += "w" if name in words - NAMES_ABOVE_ALL else ""
            marks += "c" if rank.get(name, 1 << 30) < 1500 or given.get(name, 1 << 30) < 400 else ""
            writer.writerow([name, marks])
    (OUT / "words.csv").write_text("\n".join(["word", *sorted(words)]) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
