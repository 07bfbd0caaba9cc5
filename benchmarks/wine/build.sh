#!/bin/bash
# A Windows CPython 3.11 under wine, made of packages of Debian and PyPI only.
#
#     sudo apt-get install wine wine64 gcc-mingw-w64-x86-64 mingw-w64-tools winbind unzip
#     benchmarks/wine/build.sh FOLDER [PYTHON]
#
# FOLDER gets about 0.8 GB: the interpreter, the wine prefix, and the program FOLDER/wpy that runs
# Windows' Python. PYTHON is a CPython 3.11.1, 3.11.7 or 3.11.9 of this system; its pure-Python
# library is copied, and has to be of the very version of the DLL, which has parts of it frozen in.
#
# No package ships python.exe itself. A wheel of panda3d for Windows carries the rest of an
# official build: python311.dll, the extension modules and the C runtime. python.exe is three lines
# of C; python3.dll, which extension modules with the stable ABI load, only forwards.
set -euo pipefail

folder=$(realpath -m "${1:?the folder to build in}")
python=${2:-python3.11}
version=$("$python" -c 'import platform; print(platform.python_version())')
case $version in
    3.11.1) panda3d=1.10.13 ;;
    3.11.7) panda3d=1.10.14 ;;
    3.11.9) panda3d=1.10.16 ;;
    *) echo "build.sh: $python is $version; give a Python 3.11.1, 3.11.7 or 3.11.9" >&2; exit 2 ;;
esac
library=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
site="$folder/pywin/Lib/site-packages"
for_windows=(--platform win_amd64 --python-version 311 --implementation cp --only-binary :all:)

mkdir -p "$folder" && cd "$folder"
"$python" -m pip download -q --no-deps "${for_windows[@]}" -d wheels "panda3d==$panda3d"
unzip -q -o wheels/panda3d*.whl 'deploy_libs/*' -d panda3d

mkdir -p pywin/DLLs
cp panda3d/deploy_libs/{python311,VCRUNTIME140}.dll pywin/
cp panda3d/deploy_libs/*.pyd panda3d/deploy_libs/{libffi-8,libcrypto-3,libssl-3,sqlite3}.dll pywin/DLLs/
rm -rf pywin/Lib && cp -r "$library" pywin/Lib
(
    cd pywin/Lib
    rm -rf site-packages test lib-dynload config-3.11* idlelib tkinter turtledemo lib2to3
    find . -name __pycache__ -prune -exec rm -rf {} +
    mkdir site-packages
)

gendef - panda3d/deploy_libs/python311.dll 2>/dev/null > python311.def
x86_64-w64-mingw32-dlltool -d python311.def -l libpython311.a -D python311.dll
cat > main.c <<'C'
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
C
x86_64-w64-mingw32-gcc -municode -O2 -o pywin/python.exe main.c libpython311.a
{
    printf 'LIBRARY python3.dll\nEXPORTS\n'
    grep -vE '^;|^LIBRARY|^EXPORTS' python311.def |
        awk 'NF { print $1 " = python311." $1 ($2 == "DATA" ? " DATA" : "") }'
} > python3.def
echo 'int nothing;' > empty.c
x86_64-w64-mingw32-gcc -shared -nostdlib -o pywin/python3.dll empty.c python3.def -Wl,--entry=0

# wine 8 has no bcryptprimitives.dll, which everything built with a new Rust asks for random bytes.
cat > prng.c <<'C'
typedef unsigned char byte;
__declspec(dllimport) byte SystemFunction036(void *, unsigned long); /* RtlGenRandom */
__declspec(dllexport) int ProcessPrng(byte *buffer, unsigned long long size)
{
    for (; size > 0x10000000; size -= 0x10000000, buffer += 0x10000000)
        if (!SystemFunction036(buffer, 0x10000000)) return 0;
    return SystemFunction036(buffer, (unsigned long)size);
}
C
x86_64-w64-mingw32-gcc -shared -O2 -nostdlib -o pywin/bcryptprimitives.dll prng.c \
    -ladvapi32 -Wl,--entry=0

# Without their dependencies, because pip would judge the markers for this system.
# pywin32: only the bench uses it, to compare.
"$python" -m pip install -q --no-deps "${for_windows[@]}" --target "$site" \
    annotated-types attrs backports.tarfile certifi cffi charset-normalizer click colorama \
    cryptography execnet filelock hypothesis idna importlib-metadata iniconfig jaraco.classes \
    jaraco.context jaraco.functools joserfc jsonschema jsonschema-specifications keyring \
    lazy-importer markdown-it-py mdurl more-itertools oauthlib packaging pexpect platformdirs \
    pluggy ptyprocess pycparser pydantic-settings pygments pyspnego pytest pytest-xdist \
    python-dotenv pywin32 pywin32-ctypes redis referencing requests requests-ntlm rich rpds-py \
    sortedcontainers sspilib tomli-w tree-sitter tree-sitter-toml trustme truststore \
    typing-extensions typing-inspection urllib3 zipp
# The two fit together in one pair of versions only, so these with what they ask for.
"$python" -m pip install -q "${for_windows[@]}" --target "$site" --upgrade pydantic

export WINEPREFIX="$folder/prefix" WINEARCH=win64 WINEDEBUG=-all
unset DISPLAY
wine wineboot -i < /dev/null > /dev/null 2>&1
wine winecfg -v win10 < /dev/null > /dev/null 2>&1

# A standard output that is a plain file ends the interpreter with "WinError 6", so take a pipe.
cat > wpy <<WPY
#!/bin/bash
export WINEPREFIX="$folder/prefix" WINEDEBUG="\${WINEDEBUG:--all}"
unset DISPLAY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
exec wine "$folder/pywin/python.exe" "\$@" < /dev/null
WPY
chmod +x wpy
./wpy -VV | cat
