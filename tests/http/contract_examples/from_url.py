import requests
api_key = "YOUR_API_KEY"
api_secret = "YOUR_API_SECRET"
image_url = 'https://example.com/image.png'
response = requests.get(
    "https://demo.computervision.com.vn/api/v2/ocr/document/credit_report?img=%s&format_type=url&get_thumb=false"
    % image_url,
    auth=(api_key, api_secret))
print(response.json())
