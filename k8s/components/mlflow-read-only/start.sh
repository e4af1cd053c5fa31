# Starts nginx before the MLflow of the platform's own settings. Only these variables of nginx.conf are replaced: nginx
# has variables of its own.
set -e
address=${MLFLOW_TRACKING_URI%/}
# Behind a path, such as https://example.org/mlflow, nginx puts what is asked for only if that path ends with a slash.
case "${address#*://}" in */*) address=$address/ ;; esac
verify=on
case "$MLFLOW_TRACKING_INSECURE_TLS" in [Tt]rue | 1) verify=off ;; esac
export MLFLOW_ADDRESS="$address" MLFLOW_VERIFY="$verify"
export MLFLOW_AUTHORITIES="${MLFLOW_TRACKING_SERVER_CERT_PATH:-/etc/ssl/certs/ca-certificates.crt}"
envsubst '$MLFLOW_ADDRESS $MLFLOW_VERIFY $MLFLOW_AUTHORITIES' < /etc/door/nginx.conf > /tmp/nginx.conf
exec nginx -c /tmp/nginx.conf -g 'daemon off;'
