# For sourcing by scripts/check: what can be checked by reading the files.

# Files of the repository, and those that are not added yet.
project_files() {
    git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
        [ ! -e "$file" ] || printf '%s\n' "$file"
    done
}

format_lint() {
    if ! swift format lint --strict --recursive Sources Tests Fuzz/Package.swift Fuzz/Sources; then
        echo "repair with: swift format --in-place --recursive Sources Tests Fuzz/Sources"
        return 1
    fi
    echo "$(project_files '*.swift' | wc -l) files"
}

# Each script says in a line at its top what it is for.
script_headers() {
    local script line status=0 count=0
    while IFS= read -r script; do
        count=$((count + 1))
        line=$(awk 'NR == 1 && /^#!/ { next } { print; exit }' "$script")
        case $line in
            '# '*) ;;
            *)
                echo "$script does not begin by saying what it is for"
                status=1
                ;;
        esac
        case $(head -n 1 "$script") in
            '#!'*bash | '# '*) bash -n "$script" || status=1 ;;
        esac
    done < <(project_files scripts .ci)
    [ "$status" -eq 0 ] && echo "$count scripts"
    return "$status"
}

# Swift without comments to the end of the line: what the compiler acts on.
code_matches() {
    sed 's,//.*,,' "$1" | grep -qE "$2"
}

# libuv is imported in one module only, and unsafe code outside of it stands only in the files that ARCHITECTURE.md lists.
fence() {
    local file status=0 listed found=()
    listed=$(awk '/^## / { inside = /`unsafe`/ } inside' ARCHITECTURE.md | sed -nE 's/^- `([^`]+\.swift)`.*/\1/p' | sort)
    while IFS= read -r file; do
        case $file in Sources/UVCore/*) continue ;; esac
        if code_matches "$file" 'import +CLibUV'; then
            echo "$file imports CLibUV: only Sources/UVCore may"
            status=1
        fi
        if code_matches "$file" '(^|[^A-Za-z0-9_])(unsafe|@safe|@unsafe|nonisolated\(unsafe\)|unowned\(unsafe\)|unsafe[A-Z][A-Za-z]*|Unsafe[A-Za-z]+|Unmanaged|OpaquePointer)([^A-Za-z0-9_]|$)'; then
            found+=("$file")
            if ! grep -qxF -- "$file" <<<"$listed"; then
                echo "$file says unsafe: outside Sources/UVCore only the files that ARCHITECTURE.md lists may"
                status=1
            fi
        fi
    done < <(project_files '*.swift')
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        if ! printf '%s\n' "${found[@]}" | grep -qxF -- "$file"; then
            echo "ARCHITECTURE.md lists $file, which has nothing unsafe"
            status=1
        fi
    done <<<"$listed"
    [ "$status" -eq 0 ] && echo "CLibUV only in Sources/UVCore; unsafe outside of it in ${#found[@]} files, all listed"
    return "$status"
}

# What a document names in backticks or links to, and looks like a path of this repository, exists.
paths_in_documents() {
    local document path base status=0 count=0
    while IFS= read -r document; do
        base=$(dirname "$document")
        while IFS= read -r path; do
            [ -n "$path" ] || continue
            count=$((count + 1))
            if [ ! -e "$path" ] && [ ! -e "$base/$path" ]; then
                echo "$document names $path, which does not exist"
                status=1
            fi
        done < <(document_paths "$document")
    done < <(project_files '*.md')
    [ "$status" -eq 0 ] && echo "$count paths"
    return "$status"
}

document_paths() {
    {
        # In backticks: with a folder of ours in front, or with the ending of a file of ours.
        grep -oE '`[^` ]+`' "$1" | tr -d '`' | grep -E '^(Sources|Tests|Peers|docs|scripts|CLibUV|Fuzz|\.ci)/|^[A-Za-z0-9_./-]+\.(swift|md|sh|json|jsonl|h|c|py|modulemap)$'
        # Commands of ours, wherever they stand.
        grep -oE '(^|[ `(])scripts/[A-Za-z0-9_./-]*[A-Za-z0-9_]' "$1" | tr -d ' `('
        grep -oE '\]\([^)#]+' "$1" | sed 's/^](//' | grep -vE '^[a-z]+:'
    } | grep -vE '[*<>…]' | sort -u
}

# The program in README.md is the one that runs as CancelMe.
readme_program() {
    diff <(awk '/^```/ { if (inside) exit; inside = /swift/; next } inside' README.md) <(grep -v '^//' Sources/Examples/CancelMe/main.swift) \
        && echo "README.md shows CancelMe as it is"
}
