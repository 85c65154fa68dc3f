#!/usr/bin/env bash
# What km-send does for one recipient without encryption, from a shell: the body made canonical, the v2 manifest signed
# by openssl, MIME around it, and a delivery into a maildir that is on disk when it ends. Everything that bash can do
# itself it does itself. Arguments: recipient, subject. The body comes on standard input; the message's id is printed.
# From the environment: KEY (PEM), KEY_ID, INSTALL, SENDER, FROM, MAILDIR.
set -euo pipefail
export TZ=UTC LC_ALL=C
to=$1 subject=$2

# The substitution drops the line ends at the end, as the canonical body does.
body=$(cat)
body=${body//$'\r\n'/$'\n'}
body=${body//$'\r'/$'\n'}

printf -v now '%(%s)T' -1
printf -v date '%(%a, %d %b %Y %H:%M:%S +0000)T' "$now"
nonce=$(head -c 16 /dev/urandom | basenc --base64url)
local=$(head -c 16 /dev/urandom | basenc --base64url)
id="<${local%%=*}@${FROM#*@}>"
sum=$(printf %s "$body" | sha256sum)

manifest=$(jq -ncS --arg install "$INSTALL" --arg sender "$SENDER" --arg key "$KEY_ID" --argjson now "$now" \
  --arg nonce "${nonce%%=*}" --arg id "$id" --arg from "$FROM" --arg to "$to" --arg subject "$subject" \
  --arg sum "${sum%% *}" '{version: 2, install: $install, sender: $sender, key: $key, created: $now,
    expires: ($now + 604800), nonce: $nonce, id: $id, from: {address: $from, name: ""}, to: [$to], cc: [], bcc: [],
    replyTo: null, subject: $subject, inReplyTo: null, references: [], hop: 0, bodySha256: $sum, attachments: [],
    encryption: null, v1Signature: null}')

file="$MAILDIR/tmp/$now.$$.$nonce"
printf 'km-mail-v2\n%s' "$manifest" > "$file.signed"
signature=$(openssl pkeyutl -sign -rawin -inkey "$KEY" -in "$file.signed" | base64 -w 0)
# Folded at 70 characters; readers drop the white space. The padding is not part of it.
encoded=$(printf %s "$manifest" | basenc --base64url -w 70)
encoded=${encoded%%=*}
{
  printf '%s\n' "From: $FROM" "To: $to" "Subject: $subject" "Date: $date" "Message-ID: $id" \
    "X-KM-Sender-ID: $SENDER" "X-KM-Manifest: ${encoded//$'\n'/$'\n' }" "X-KM-Manifest-Signature: $signature" \
    "MIME-Version: 1.0" "Content-Type: text/plain; charset=utf-8" "Content-Transfer-Encoding: 8bit" "" "$body"
} > "$file"
sync "$file"
mv "$file" "$MAILDIR/new/"
sync "$MAILDIR/new"
rm "$file.signed"
printf '%s\n' "$id"
