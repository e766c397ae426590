"""Counts out of MatrixMarket files, and the tables of genes and barcodes beside them: CellRanger's and
STARsolo's folders, velocyto's (spliced.mtx), Parse's (all_genes.csv), GEO's (GSM1_ctrl_matrix.mtx.gz,
matrix_ctrl.mtx), any prefix or suffix. Which axis holds the cells is known from the tables' lengths.
"""

import gzip
import io
import itertools
import re

from scipy import sparse

from count_matrices.kinds import are_kinds, only_genes
from count_matrices.matrix import Counts, CountsError

ENDING = re.compile(r"\.(tsv|txt|csv|bed)(\.gz)?$")
MATRIX = re.compile(r"\.mtx(\.gz)?$")
KIND = re.compile(r"barcode|cell|feature|gene|peak|rowname|colname")
CUT = re.compile(r"[_.-]")
OF_ALL = "all_"  # a prefix that names no matrix
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_mtx(path):
    matrix = _matrix(path)
    cells = tables(path, ("barcode", "cell"))
    genes = tables(path, ("feature", "gene")) or _shared(path, matrix.shape)
    if not genes and any(len(peaks) in matrix.shape for peaks in tables(path, ("peak",))):
        raise CountsError(f"{path.name}: holds no genes, but the peaks of the table beside it")
    if not genes and not cells and (axes := _axes(path, matrix.shape)):
        return Counts(matrix, axes[1], axes[0], oriented=False)
    return oriented(matrix, genes, cells, path.name)


def _axes(path, shape):
    """Names of rows and of columns: NAME.mtx_rows and .mtx_cols (Expression Atlas), NAME_rows.txt and
    _cols.txt (alevin-fry), rownames and colnames (R), which do not say what is what. None where they are
    missing or do not fit."""
    plain = path.name.removesuffix(".gz")
    found = []
    for axis, kind, length in zip(("rows", "cols"), ("rowname", "colname"), shape, strict=True):
        names = (f"{plain}_{axis}", f"{plain.removesuffix('.mtx')}_{axis}.txt")
        known = [read_table(path.with_name(name)) for name in names if path.with_name(name).is_file()]
        found.append(_names(_fitting(known + tables(path, (kind,)), length) or []))
    return found if all(found) else None


def _matrix(path):
    """STARsolo writes "float" for "real" in the first line, which scipy does not know."""
    from scipy.io import mmread

    data = _bytes(path)
    first, end, rest = data.lstrip(b"\xef\xbb\xbf").partition(b"\n")
    words = first.split()
    if not words or words[0].lower() != b"%%matrixmarket":
        raise CountsError(f"{path.name}: its first line is no %%MatrixMarket header; is it a whole file?")
    if b"pattern" in first.lower():
        raise CountsError(f"{path.name}: states where counts are and not how many; give the counts")
    swapped = [b"real" if word.lower() in (b"float", b"double") else word for word in words]
    return sparse.csr_matrix(mmread(io.BytesIO(b" ".join(swapped) + end + rest)))


def is_gzip(path):
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _bytes(path):
    """Unpacked, whatever the file's ending says; UTF-16, in which PowerShell unpacks, as UTF-8."""
    data = gzip.decompress(path.read_bytes()) if is_gzip(path) else path.read_bytes()
    return data.decode("utf-16", errors="replace").encode() if data.startswith(UTF_16) else data


def tables(path, kinds):
    """The rows of each table of these kinds beside a matrix, those first that share most of its name."""
    found = []
    for other in sorted(path.parent.iterdir()):
        name = other.name.lower()
        if ENDING.search(name) and other.is_file() and not name.startswith("."):
            kind, shared = _kind(ENDING.sub("", name), path.name.lower())
            if kind in kinds:
                found.append((shared, read_table(other)))
    found.sort(key=lambda item: -item[0])
    return [rows for _, rows in found]


def _shared(path, shape):
    """Tables of genes whose prefix is no matrix's, where they fit: GSE1_features.tsv of all samples."""
    beside = {other.name.lower(): other for other in sorted(path.parent.iterdir()) if other.is_file()}
    matrices = [name for name in beside if MATRIX.search(name)]
    found = []
    for name, other in beside.items():
        plain = ENDING.sub("", name)
        words = KIND.findall(plain) if plain != name else []
        if words[-1:] in (["feature"], ["gene"]) and not any(_kind(plain, one)[0] for one in matrices):
            found.append(read_table(other))
    return [rows for rows in found if any(_fitting([rows], length) for length in shape)]


def _kind(name, matrix):
    """(what a table names, how many letters of a prefix or suffix it shares with the matrix); ("", 0) where
    its prefix is that of another one. `name` is without its ending."""
    whole = re.sub(r"(\.mtx)?(\.gz)?$", "", matrix)
    for word in reversed(list(KIND.finditer(name))):
        prefix, suffix = name[: word.start()], name[word.end() :].removeprefix("s").lstrip("_.-")
        shared = len(suffix) if suffix and whole.endswith(suffix) else 0
        if not prefix or prefix == OF_ALL:
            return word[0], shared
        if CUT.match(prefix[-1]) and re.match(re.escape(prefix[:-1]) + CUT.pattern, matrix):
            return word[0], shared + len(prefix)
    return "", 0


def read_table(path):
    """Rows of cells, without quotes."""
    text = _bytes(path).decode("utf-8-sig", errors="replace")
    comma = "\t" not in text and "," in text
    return [
        [cell.strip().strip('"') for cell in line.split("," if comma else "\t")]
        for line in text.splitlines()
        if line.strip()
    ]


def oriented(matrix, gene_tables, cell_tables, name):
    """As Counts, cells x genes. Raises CountsError where the tables fit neither way."""
    rows, columns = matrix.shape
    if not gene_tables and not cell_tables:
        return Counts(matrix, oriented=False)
    ways = []
    for turn, shape in ((True, (columns, rows)), (False, (rows, columns))):  # (cells, genes)
        cells = _fitting(cell_tables, shape[0])
        genes = _fitting(gene_tables, shape[1])
        if (cells is not None or not cell_tables) and (genes is not None or not gene_tables):
            ways.append((turn, genes or [], cells or []))
    if not ways:
        sizes = [f"{len(lines)} genes" for lines in gene_tables] + [
            f"{len(lines)} barcodes" for lines in cell_tables
        ]
        raise CountsError(
            f"{name}: its shape {matrix.shape} fits neither way what is beside it ({', '.join(sizes)})"
        )
    turn, genes, cells = ways[0]
    notes = []
    if len(ways) == 2:
        notes.append(f"{name}: as many rows as columns: read as genes x cells, as CellRanger writes it")
    columns = list(itertools.zip_longest(*genes, fillvalue=""))  # a row may end early
    named = columns[1] if len(columns) > 1 and not are_kinds(columns[1]) else next(iter(columns), ())
    named = [name or row[0] for name, row in zip(named, genes, strict=True)]
    found = Counts(matrix.T.tocsr() if turn else matrix, named, _names(cells), notes)
    return only_genes(found, columns[1:], name)


def _names(rows):
    """The first column that does more than number the rows, as R's write.csv does by itself."""
    columns = [list(column) for column in itertools.zip_longest(*rows, fillvalue="")]
    numbers = [[str(place) for place in range(first, first + len(rows))] for first in (0, 1)]
    return next((column for column in columns if column not in numbers), next(iter(columns), []))


def _fitting(found, length):
    """The first table with so many lines, a header not counted; None where none has."""
    for lines in found:
        if len(lines) == length:
            return lines
        if len(lines) == length + 1:
            return lines[1:]
    return None
