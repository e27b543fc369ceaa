@echo off
rem The one command, on Windows: builds what is out of date, then runs it. The same verbs and exit codes as ./claw:
rem 0 done, 1 refused or failed, 2 usage, 3 unavailable. `claw test` restores, builds, checks the format and tests.
setlocal EnableExtensions DisableDelayedExpansion
set "CLAW_ROOT=%~dp0"
set "STATE=%CLAW_ROOT%.claw"
set "OUTPUT=bin\Release\net10.0"
set "CLI=%CLAW_ROOT%cli\%OUTPUT%\ClawBureau.Cli.dll"
set DOTNET_NOLOGO=1
set DOTNET_CLI_TELEMETRY_OPTOUT=1
set MSBUILDDISABLENODEREUSE=1
set CLAW_OFFICIAL=false
if "%CLAW_OFFICIAL_GRPC%"=="1" set CLAW_OFFICIAL=true
set "POWERSHELL=powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command"

set "DOTNET=%CLAW_DOTNET%"
if defined DOTNET goto dotnet_named
for %%D in (dotnet.exe) do set "DOTNET=%%~$PATH:D"
if not defined DOTNET if exist "%USERPROFILE%\.dotnet\dotnet.exe" set "DOTNET=%USERPROFILE%\.dotnet\dotnet.exe"
if not defined DOTNET if exist "%ProgramFiles%\dotnet\dotnet.exe" set "DOTNET=%ProgramFiles%\dotnet\dotnet.exe"
:dotnet_named
if not exist "%DOTNET%" (
  echo claw: dotnet was not found. Install the .NET 10 SDK from https://dot.net/download, or set CLAW_DOTNET to where dotnet is. 1>&2
  exit /b 3
)
if not exist "%STATE%" mkdir "%STATE%"

if /i "%~1"=="test" goto test
call :build_cli
if errorlevel 1 exit /b %ERRORLEVEL%
if "%~1"=="" goto help
if /i "%~1"=="help" goto help
"%DOTNET%" "%CLI%" %*
exit /b %ERRORLEVEL%

:help
"%DOTNET%" "%CLI%" %2 %3 %4 --help
exit /b %ERRORLEVEL%

rem ---- what is out of date: paths, sizes and times of what the command and the services are built from
:build_cli
set "CLAW_LISTING=%STATE%\build.windows.new"
%POWERSHELL% "$r = $env:CLAW_ROOT; $f = @(Get-ChildItem -File $r | Where-Object { $_.Name -match '\.(props|targets|sln)$|^global\.json$|^\.editorconfig$|^nuget\.config$' }); foreach ($d in 'compat','protos','libs','services','cli','bench') { if (Test-Path ($r + $d)) { $f += @(Get-ChildItem -File -Recurse ($r + $d) | Where-Object { $_.FullName -notmatch '\\(bin|obj|node_modules|TestResults)\\' -and $_.Extension -notin '.md','.user' }) } }; $l = @('official-grpc ' + $env:CLAW_OFFICIAL) + @($f | Sort-Object FullName | ForEach-Object { $_.FullName + ' ' + $_.Length + ' ' + $_.LastWriteTimeUtc.Ticks }); [IO.File]::WriteAllLines($env:CLAW_LISTING, [string[]]$l)"
if errorlevel 1 exit /b 1
if exist "%CLI%" fc /b "%CLAW_LISTING%" "%STATE%\build.windows.stamp" >nul 2>nul && exit /b 0
call :require_sdk
if errorlevel 1 exit /b %ERRORLEVEL%
del "%STATE%\build.windows.stamp" 2>nul
call :restore_and_build cli\Cli.csproj
if errorlevel 1 exit /b 1
move /y "%CLAW_LISTING%" "%STATE%\build.windows.stamp" >nul
exit /b 0

:require_sdk
pushd "%CLAW_ROOT%"
"%DOTNET%" --version >nul 2>nul
if errorlevel 1 (
  popd
  echo claw: no .NET SDK here matches global.json. Install the .NET 10 SDK from https://dot.net/download. 1>&2
  exit /b 3
)
popd
exit /b 0

:restore_and_build
pushd "%CLAW_ROOT%"
"%DOTNET%" restore %1 -v quiet -tl:off -p:OfficialGrpc=%CLAW_OFFICIAL% >"%STATE%\build.log" 2>&1
if not errorlevel 1 "%DOTNET%" build %1 --no-restore -c Release -v quiet -tl:off -nodeReuse:false -p:UseSharedCompilation=false -p:OfficialGrpc=%CLAW_OFFICIAL% >"%STATE%\build.log" 2>&1
if errorlevel 1 (
  popd
  findstr /r /c:"error [A-Z]*[0-9]*:" "%STATE%\build.log" 1>&2
  echo claw: the build failed; the whole log: "%STATE%\build.log" 1>&2
  exit /b 1
)
popd
exit /b 0

rem ---- claw test
:test
if /i "%~2"=="--help" goto test_usage
set "CLAW_NIGHTLY="
if /i "%~2"=="--nightly" (
  shift /2
  set CLAW_NIGHTLY=1
)
if defined CLAW_NIGHTLY (
  if not defined CLAW_FUZZ_TOKENS set CLAW_FUZZ_TOKENS=10000000
  if not defined CLAW_ED25519_INPUTS set CLAW_ED25519_INPUTS=100000000
  if not defined CLAW_TIMING_MEASUREMENTS set CLAW_TIMING_MEASUREMENTS=1000000
  if not defined CLAW_PROGRESS_FILE set "CLAW_PROGRESS_FILE=%STATE%\nightly.log"
)
if not "%~3"=="" (
  echo claw: one filter at most 1>&2
  exit /b 2
)
call :require_sdk
if errorlevel 1 exit /b %ERRORLEVEL%
rem What the solution's build makes is the command's build too, but of a listing that was not taken: take it next time.
del "%STATE%\build.windows.stamp" 2>nul
echo restore, build
call :restore_and_build ClawBureau.sln
if errorlevel 1 (
  echo 0 passed, 1 failed
  exit /b 1
)
pushd "%CLAW_ROOT%"
set CLAW_FORMAT_FAILED=0
echo format
set Configuration=Release
set OfficialGrpc=%CLAW_OFFICIAL%
"%DOTNET%" format whitespace . --folder --verify-no-changes || set CLAW_FORMAT_FAILED=1
"%DOTNET%" format style ClawBureau.sln --diagnostics IMPORTS --verify-no-changes --no-restore || set CLAW_FORMAT_FAILED=1
set Configuration=
set OfficialGrpc=
set "TARGET=ClawBureau.sln"
set "CLAW_FILTER="
if defined CLAW_NIGHTLY set "CLAW_FILTER=Length=Nightly"
if not "%~2"=="" set "CLAW_FILTER=FullyQualifiedName~%~2"
if exist "tests\%~2.Tests\%~2.Tests.csproj" set "TARGET=tests\%~2.Tests\%~2.Tests.csproj" & set "CLAW_FILTER="
if exist "tests\%~2\%~2.csproj" set "TARGET=tests\%~2\%~2.csproj" & set "CLAW_FILTER="
set "CLAW_RESULTS=%STATE%\test"
if exist "%CLAW_RESULTS%" rmdir /s /q "%CLAW_RESULTS%"
set CLAW_TEST_CODE=0
if defined CLAW_FILTER (
  "%DOTNET%" test "%TARGET%" --no-build -c Release --logger trx --results-directory "%CLAW_RESULTS%" --filter "%CLAW_FILTER%" || set CLAW_TEST_CODE=1
) else (
  "%DOTNET%" test "%TARGET%" --no-build -c Release --logger trx --results-directory "%CLAW_RESULTS%" || set CLAW_TEST_CODE=1
)
popd
rem A host that crashed, a project without tests and, with CI=true, a skipped test are failures.
%POWERSHELL% "$p = 0; $f = [int]$env:CLAW_FORMAT_FAILED; $s = 0; $bad = 0; foreach ($t in @(Get-ChildItem $env:CLAW_RESULTS -Filter *.trx -ErrorAction SilentlyContinue)) { $c = ([xml](Get-Content -Raw -Encoding UTF8 $t.FullName)).TestRun.ResultSummary.Counters; $p += [int]$c.passed; $bad += [int]$c.executed - [int]$c.passed; $s += [int]$c.total - [int]$c.executed; if ([int]$c.total -eq 0 -and -not $env:CLAW_FILTER) { $bad += 1 } }; if ($env:CLAW_TEST_CODE -ne '0' -and $bad -eq 0) { $bad = 1 }; $f += $bad; if ($p + $f + $s -eq 0) { $f = 1 }; if ($env:CI -eq 'true') { $f += $s; $s = 0 }; $line = '{0} passed, {1} failed' -f $p, $f; if ($s -gt 0) { $line += ', {0} skipped' -f $s }; Write-Output $line; exit [int]($f -gt 0)"
exit /b %ERRORLEVEL%

:test_usage
echo Usage: claw test [--nightly] [filter]
echo.
echo Restores, builds with warnings as errors, checks the format and runs the tests. The filter is a test project
echo (Tokens) or a part of a test's full name. The last line is "N passed, N failed". With CI=true a skipped test fails.
echo.
echo --nightly runs at the length of a night what runs briefly otherwise; without a filter, these alone. CLAW_FUZZ_TOKENS,
echo CLAW_ED25519_INPUTS and CLAW_TIMING_MEASUREMENTS say other lengths. How far they are stands in .claw\nightly.log.
exit /b 0
