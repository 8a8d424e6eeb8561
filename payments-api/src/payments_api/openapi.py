def document(app):
    return {"openapi": "3.1.0"}
